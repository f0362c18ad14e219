"""The faults: each a generator that does harm, yields for how long, and makes good.

A fault occupies what it harms: two that share something never happen at once.
"""

import os
import resource
import shutil
import signal
import subprocess

from support.tracing import inject
from support.wait import PATIENCE_S, eventually

from clients import Client, Clients, compact
from stage import TMPFS_BYTES, as_root, is_root

FAULTS = {}  # name: (generator function, what it occupies, what it needs)
PAGE = 4096
SHARED_STORE = "postgresql"  # what some need
OF_SESSION_FILES = {"session-" + name for name in ("fsync-fails", "writes-fail", "disk-full", "files-moved")}


def fault(name, *occupies, needs=()):
    def add(function):
        FAULTS[name] = (function, frozenset(occupies), needs)
        return function
    return add


def for_both(name, needs=()):
    """Two faults: one for each service."""
    def add(function):
        for service in ("user", "session"):
            fault("%s-%s" % (service, name), service, needs=needs)(
                lambda stage, rng, service=service: function(stage, rng, service))
        return function
    return add


def possible(shared_store=False):
    """The names of all that can be done here, and why not of the others."""
    missing = {}
    for name, (_, _, needs) in FAULTS.items():
        if shared_store and name in OF_SESSION_FILES:
            missing[name] = "needs a store in files"
        for need in needs:
            if need == SHARED_STORE and not shared_store:
                missing[name] = "needs --store postgresql"
            elif need == "root" and not is_root():
                missing[name] = "needs root"
            elif need == "strace" and shutil.which("strace") is None:
                missing[name] = "needs strace"
    return [name for name in FAULTS if name not in missing], missing


# The broker.

@fault("broker-killed", "broker")
def broker_killed(stage, rng):
    stage.broker.kill()
    yield rng.uniform(0, 3)
    stage.broker.start()


@fault("broker-stopped", "broker")
def broker_stopped(stage, rng):
    stage.broker.stop()
    yield rng.uniform(0, 3)
    stage.broker.start()


@fault("broker-frozen", "broker")
def broker_frozen(stage, rng):
    stage.broker.freeze()
    yield rng.choice((1, 3, 9))
    stage.broker.thaw()


@fault("memory-alarm", "broker")
def memory_alarm(stage, rng):
    stage.broker.ctl("set_vm_memory_high_watermark", "0.0000001")
    yield rng.uniform(1, 5)
    stage.broker.ctl("set_vm_memory_high_watermark", "0.4")


@fault("disk-alarm", "broker")
def disk_alarm(stage, rng):
    stage.broker.ctl("set_disk_free_limit", "999999GB")
    yield rng.uniform(1, 5)
    stage.broker.ctl("set_disk_free_limit", "50MB")


def set_length(stage, queue, length):
    """Publishes beyond it are refused."""
    stage.broker.ctl("set_policy", queue, "^%s$" % queue.replace(".", "\\."),
                     '{"max-length":%d,"overflow":"reject-publish"}' % length, "--apply-to", "queues")


def unset_length(stage, queue):
    """RabbitMQ 3.10 goes on refusing where the limit goes while it is reached, until the connection ends: so
    it grows first."""
    set_length(stage, queue, 100000000)
    stage.broker.ctl("clear_policy", queue)


def full_queue(stage, rng, queue):
    set_length(stage, queue, 1)
    yield rng.uniform(1, 4)
    unset_length(stage, queue)


@fault("publishes-refused", "broker")
def publishes_refused(stage, rng):
    return full_queue(stage, rng, stage.queue)


@fault("dead-letters-refused", "broker")
def dead_letters_refused(stage, rng):
    stage.strangers.poison(rng, 10)
    return full_queue(stage, rng, stage.dead)


@fault("connections-closed", "broker")
def connections_closed(stage, rng):
    for _ in range(rng.randrange(1, 4)):
        stage.broker.ctl("close_all_connections", "a test of the faults")
        yield rng.uniform(0.1, 1)


# What lies between.

def for_all_paths(name):
    """Those of the services to the broker, and that of the session-service to its shared store."""
    def add(function):
        for service in ("user", "session", "store"):
            needs = (SHARED_STORE,) if service == "store" else ()
            fault("%s-%s" % (service, name), service + "-path", needs=needs)(
                lambda stage, rng, service=service: function(stage.paths[service], rng))
        return function
    return add


@for_all_paths("path-stalled")
def path_stalled(path, rng):
    """Nothing goes either way; later all of it does."""
    path.stall()
    yield rng.choice((1, 3, 9))
    path.resume()


@for_all_paths("path-half-open")
def path_half_open(path, rng):
    """What a service sends is gone; the connection stays, and ends at last."""
    path.swallowing = True
    yield rng.choice((1, 3, 9))
    path.cut()
    path.swallowing = False


@for_all_paths("path-slow")
def path_slow(path, rng):
    path.delay_s = rng.choice((0.02, 0.1, 0.4))
    yield rng.uniform(1, 5)
    path.delay_s = 0


@for_all_paths("path-cut")
def path_cut(path, rng):
    for _ in range(rng.randrange(1, 5)):
        path.cut()
        yield rng.uniform(0.05, 0.5)


@for_all_paths("path-refused")
def path_refused(path, rng):
    path.refusing = True
    path.cut()
    yield rng.uniform(1, 4)
    path.refusing = False


# A shared store.

@fault("store-killed", "store", needs=(SHARED_STORE,))
def store_killed(stage, rng):
    stage.store.server.kill()
    yield rng.uniform(0, 3)
    stage.store.server.start()


@fault("store-frozen", "store", needs=(SHARED_STORE,))
def store_frozen(stage, rng):
    stage.store.server.freeze()
    yield rng.choice((1, 3, 9))
    stage.store.server.thaw()


@fault("store-connections-ended", "store", needs=(SHARED_STORE,))
def store_connections_ended(stage, rng):
    for _ in range(rng.randrange(1, 6)):
        stage.store.server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s'"
                               % stage.store.name)
        yield rng.uniform(0.05, 0.5)


# The services.

@for_both("killed")
def killed(stage, rng, name):
    for _ in range(rng.randrange(1, 4)):
        stage.daemons[name].kill()
        stage.daemons[name].start()
        yield rng.uniform(0, 1)


@fault("both-killed", "user", "session")
def both_killed(stage, rng):
    for daemon in stage.daemons.values():
        daemon.kill()
    yield rng.uniform(0, 1)
    for daemon in stage.daemons.values():
        daemon.start()


@fault("session-taken-over", "session")
def session_taken_over(stage, rng):
    """A second one with the same store stands by, and works while the first one is dead."""
    second = stage.second_session(own_store=False)
    yield rng.uniform(0.2, 2)
    stage.session.kill()
    yield rng.uniform(0.5, 4)
    if rng.random() < 0.5:
        second.kill()
    else:
        second.signal(signal.SIGTERM)
        second.ended()
    stage.session.start()


@for_both("restarted")
def restarted(stage, rng, name):
    stage.daemons[name].signal(signal.SIGTERM)
    stage.daemons[name].ended()
    yield rng.uniform(0, 0.5)
    stage.daemons[name].start()


@for_both("stopped-by-signal")
def stopped_by_signal(stage, rng, name):
    stage.daemons[name].signal(signal.SIGSTOP)
    yield rng.choice((1, 3, 8))
    stage.daemons[name].signal(signal.SIGCONT)


def use_keys(stage, keys, number):
    """A user of each; with another number they are others."""
    client = Client(Clients(stage.user.port, stage.attempts, stage.queue))
    for key in keys:
        client.save(key, compact({"id": key, "n": number}))
    client.close()


@fault("keys-used-again", "user")
def keys_used_again(stage, rng):
    """After each end of the process the keys come with other users: each may be answered with success for one."""
    for _ in range(rng.randrange(1, 3)):
        keys = ["again%d" % next(stage.numbers) for _ in range(rng.randrange(1, 8))]
        use_keys(stage, keys, 1)
        if rng.random() < 0.5:
            stage.user.kill()
        else:
            stage.user.signal(signal.SIGTERM)
            stage.user.ended()
        stage.user.start()
        use_keys(stage, keys, 2)
        yield rng.uniform(0, 1)


def failing_calls(stage, rng, name, calls, error):
    tracer = inject(stage.daemons[name].process.pid, calls, "error=" + error)
    yield rng.uniform(0.5, 3)
    tracer.terminate()
    tracer.wait(PATIENCE_S)


@for_both("fsync-fails", needs=("strace",))
def fsync_fails(stage, rng, name):
    return failing_calls(stage, rng, name, "fsync,fdatasync", "EIO")


@for_both("writes-fail", needs=("strace",))
def writes_fail(stage, rng, name):
    """Only SQLite and the file of the keys write with this call."""
    return failing_calls(stage, rng, name, "pwrite64", "ENOSPC")


def used_bytes(directory):
    room = os.statvfs(directory)
    return (room.f_blocks - room.f_bfree) * room.f_frsize


@for_both("disk-full", needs=("root",))
def disk_full(stage, rng, name):
    state = stage.state(name)

    def shrink():
        """Fails where more was written meanwhile than the spare pages."""
        size = used_bytes(state) + PAGE * rng.choice((1, 4, 16))
        return subprocess.run(["mount", "-o", "remount,size=%d" % size, state],
                              stderr=subprocess.DEVNULL).returncode == 0
    eventually(shrink, "the disk of the %s-service is full" % name)
    yield rng.uniform(1, 4)
    as_root("mount", "-o", "remount,size=%d" % TMPFS_BYTES, state)


@for_both("files-moved")
def files_moved(stage, rng, name):
    """The files of the state and the lock, and back: a copy of the outbox may stand there then."""
    state = stage.state(name)
    files = [file for file in os.listdir(state) if file in ("lock", "idempotency-keys")
             or file.endswith((".db", ".db-wal", ".db-shm"))]
    rng.shuffle(files)
    for file in files:
        os.rename(os.path.join(state, file), os.path.join(state, file + ".away"))
    yield rng.uniform(0.2, 4)
    for file in files:
        os.rename(os.path.join(state, file + ".away"), os.path.join(state, file))


@for_both("out-of-descriptors")
def out_of_descriptors(stage, rng, name):
    pid = stage.daemons[name].process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    opened = len(os.listdir("/proc/%d/fd" % pid))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (opened + rng.randrange(3), before[1]))
    yield rng.uniform(1, 4)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def rotated(stage, rng, name):
    user, password = stage.user_name(name), "secret-%d" % rng.randrange(1 << 30)
    stage.broker.ctl("change_password", user, password)
    stage.broker.ctl("close_all_connections", "the password has changed")
    yield rng.uniform(0, 2)
    stage.write_password(name, password)


@fault("user-password-rotated", "broker")
def user_password_rotated(stage, rng):
    return rotated(stage, rng, "user")


@fault("session-password-rotated", "broker")
def session_password_rotated(stage, rng):
    return rotated(stage, rng, "session")


# Others on the queue.

def by_strangers(name):
    def add(function):
        def some(stage, rng):
            for _ in range(3):
                function(stage.strangers, rng)
                yield rng.uniform(0, 0.5)
        fault(name, "strangers")(some)
        return function
    return add


@by_strangers("poison")
def poison(strangers, rng):
    strangers.poison(rng, 10)
    strangers.invalid(rng, 5)


@by_strangers("id-conflicts")
def id_conflicts(strangers, rng):
    strangers.conflicts(rng, 5)


@by_strangers("bare-messages")
def bare_messages(strangers, rng):
    strangers.bare(rng, 10)


@by_strangers("deletions")
def deletions(strangers, rng):
    strangers.deletions(rng, 30)


@by_strangers("duplicates")
def duplicates(strangers, rng):
    strangers.duplicates(rng, 20)
