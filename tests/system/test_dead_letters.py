"""`session-service dead-letters`: list, show, redrive, purge; nothing is lost whatever ends it."""

import json
import os
import random
import signal
import subprocess
import time

import pika
import pytest

from support.proxy import Proxy
from support.services import binary
from support.wait import PATIENCE_S, eventually

USER = '{"id":"u%d","name":"Ada"}'


def count_dead(world):
    """0 also where there is no such queue."""
    try:
        return world.count(world.dead)
    except pika.exceptions.ChannelClosedByBroker as error:
        if error.reply_code != 404:
            raise
        return 0


def command(world, *arguments, check=0, timeout=PATIENCE_S):
    """Runs it to its end: (standard output, standard error)."""
    done = subprocess.run([binary("session-service"), "dead-letters", *arguments,
                           "--queue", world.queue],
                          env=dict(os.environ, AMQP_URL=world.url), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=timeout)
    assert done.returncode == check, (done.returncode, done.stdout, done.stderr)
    return done.stdout, done.stderr


def objects(world, *arguments, **options):
    return [json.loads(line) for line in command(world, *arguments, "--json", **options)[0].split("\n")
            if line]


def dead(number=1, reason="too-many-redeliveries", body=None, **properties):
    headers = {"dead-letter-reason": reason, "dead-letter-detail": "why", "saved_at_ms": 5,
               "dead-letter-first-at-ms": 1700000000000, "dead-letter-last-at-ms": 1700000001000,
               "dead-letter-count": 2, "dead-letter-queue": "session"}
    properties.setdefault("message_id", "m%d" % number)
    return (USER % number if body is None else body,
            pika.BasicProperties(delivery_mode=2, headers=dict(headers, **properties.pop("more", {})),
                                 content_type="application/json", **properties))


def put(world, letters):
    """Letters as the service would have put them aside."""
    channel = world.declare(world.dead)
    channel.confirm_delivery()
    world.declare().connection.close()
    for body, properties in letters:
        channel.basic_publish("", world.dead, body, properties)
    channel.connection.close()
    eventually(lambda: world.count(world.dead) == len(letters), "the letters are there")


def drain(world, queue):
    """Takes everything: a list of (properties, body)."""
    channel = world.channel()
    taken = []
    while True:
        method, properties, body = channel.basic_get(queue, auto_ack=True)
        if method is None:
            channel.connection.close()
            return taken
        taken.append((properties, body))


def both(world):
    return world.count(), world.count(world.dead)


def wait_both(world, expected):
    eventually(lambda: both(world) == expected, "%d and %d messages" % expected)


def test_where_there_are_none(world):
    err = command(world, "list")[1]
    assert err == ("queue %s of amqp://guest@127.0.0.1:%d/\nno dead letters: the broker has no such queue\n"
                   % (world.dead, world.broker.port))
    assert objects(world, "list") == []
    assert "no dead letter has the id m1" in command(world, "purge", "m1", check=3)[1]
    with pytest.raises(pika.exceptions.ChannelClosedByBroker):
        world.channel().queue_declare(world.dead, passive=True)


def test_where_its_queue_is_empty(world):
    world.declare(world.dead).connection.close()
    assert command(world, "list")[1].endswith("/\nno dead letters\n")


def alone(*arguments, **environment):
    """Without anything of a world: (exit status, standard output, standard error)."""
    done = subprocess.run([binary("session-service"), "dead-letters", *arguments], env=environment,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=PATIENCE_S)
    return done.returncode, done.stdout, done.stderr


def test_a_broker_that_nobody_named_has_no_letters_to_tell_of(tmp_path):
    conf = tmp_path / "conf"
    conf.write_text("queue = session\n")
    for verb in ("list",), ("show", "m1"), ("redrive", "--all"), ("purge", "m1"), ("--check-config",):
        for arguments, environment in ((), {}), ((), {"AMQP_URL": " "}), (("--config", str(conf)), {}):
            status, out, err = alone(*verb, *arguments, **environment)
            assert (status, out) == (2, "") and "no broker is named" in err and "--amqp-url" in err


def test_it_has_its_own_options_and_shares_the_file(world, tmp_path):
    put(world, [dead(1)])
    for theirs in ("--listen", "127.0.0.1:1"), ("--state-dir", "/tmp"), ("--prefetch", "5"), ("--log-level", "info"):
        status, out, err = alone("list", *theirs, AMQP_URL=world.url)
        assert status == 2 and "unknown option " + theirs[0] in err
    conf = tmp_path / "conf"
    conf.write_text("amqp-url = %s\nqueue = %s\nlisten = 127.0.0.1:1\nprefetch = 7\nstate-dir = /nonexistent\n"
                    % (world.url, world.queue))
    status, out, err = alone("list", "--config", str(conf), SESSION_SERVICE_PREFETCH="what the service would refuse")
    assert status == 0 and "m1" in out, err
    for line, named in ("prefetch = many\n", "prefetch"), ("no-such = 1\n", "no-such"), ("all = yes\n", '"all"'):
        conf.write_text("amqp-url = %s\n%s" % (world.url, line))
        status, out, err = alone("list", "--config", str(conf))
        assert status == 2 and named in err and "%s:2" % conf in err
    eventually(lambda: world.count(world.dead) == 1, "the letter is back")


def test_help_has_an_example_of_each_verb():
    status, out, err = alone("--help")
    assert status == 0 and "--listen" not in out and "--amqp-url" in out
    for verb in "list", "show", "redrive", "purge":
        assert "\n  %s " % verb in out and "session-service dead-letters %s " % verb in out
    service = subprocess.run([binary("session-service"), "--help"], stdout=subprocess.PIPE, text=True).stdout
    assert "session-service dead-letters --help" in service


def test_list_in_pages(world):
    put(world, [dead(n) for n in range(1, 8)])
    out, err = command(world, "list", "--limit", "3")
    lines = out.splitlines()
    assert lines[0].split() == ["ID", "REASON", "LAST", "TIMES", "BYTES", "DETAIL"]
    assert [line.split()[0] for line in lines[1:]] == ["m1", "m2", "m3"]
    assert lines[1].split()[1:] == ["too-many-redeliveries", "2023-11-14T22:13:21Z", "2", "24", "why"]
    assert "3 of 7 dead letters; for the next page: --after 3" in err
    page = objects(world, "list", "--limit", "3", "--after", "3")
    assert [(o["position"], o["id"]) for o in page] == [(4, "m4"), (5, "m5"), (6, "m6")]
    assert page[0]["first_at_ms"] == 1700000000000 and page[0]["count"] == 2
    assert [o["id"] for o in objects(world, "list", "--after", "6")] == ["m7"]
    wait_both(world, (0, 7))


def test_show_is_whole_and_harmless_to_a_terminal(world):
    put(world, [dead(1), dead(2, body=b'{"x":"\x1b[2J"}', more={"note": "a\x1b[2Jb", "n": 7}),
                dead(3, body=b"\xff\x00", message_id="bad\nid"), dead(4, message_id=None)])
    out, _ = command(world, "show", "m2")
    assert "\x1b" not in out and 'body (12 bytes): {"x":"\\x1b[2J"}' in out
    assert "header note: a\\x1b[2Jb\n" in out and "header n: 7\n" in out
    assert "put-aside: 2 times, first 2023-11-14T22:13:20Z, last 2023-11-14T22:13:21Z" in out
    one = objects(world, "show", "m2")[0]
    assert one["body"] == '{"x":"\x1b[2J"}' and one["headers"]["n"] == 7
    ids = [o["id"] for o in objects(world, "list")]
    assert ids[2].startswith("sha256:") and ids[3].startswith("sha256:")
    assert objects(world, "show", ids[2])[0]["body_base64"] == "/wA="
    assert objects(world, "show", ids[3])[0]["body"] == USER % 4
    assert "no dead letter has the id m9" in command(world, "show", "m9", check=3)[1]
    wait_both(world, (0, 4))


def test_redrive_and_what_it_keeps(world):
    put(world, [dead(1, more={"x-mine": "kept", "x-delivery-count": 3}, type="user.saved",
                     app_id="user-service", timestamp=1234, expiration="60000"), dead(2)])
    out, _ = command(world, "redrive", "m1")
    assert out == "1 sent back, 0 purged, 0 left, of 2 dead letters\n"
    wait_both(world, (1, 1))
    properties, body = drain(world, world.queue)[0]
    assert body.decode() == USER % 1 and properties.message_id == "m1"
    assert (properties.type, properties.app_id, properties.timestamp) == ("user.saved", "user-service",
                                                                          1234)
    assert properties.delivery_mode == 2 and properties.expiration is None
    # RabbitMQ 3 adds its own count, from the start.
    assert properties.headers.pop("x-delivery-count", 0) == 0
    assert properties.headers == {"x-mine": "kept", "saved_at_ms": 5, "dead-letter-count": 2,
                                  "dead-letter-first-at-ms": 1700000000000,
                                  "original-expiration": "60000"}


def test_redrive_says_what_would_come_back(world):
    put(world, [dead(1), dead(2, reason="id-conflict"), dead(3, reason="not-json", body="{"),
                dead(4, reason="invalid-user", body='{"id":"u4","name":5}')])
    out, _ = command(world, "redrive", "--all", "--dry-run", check=3)
    assert out.splitlines() == [
        "m1: would be sent back",
        "m2: left: it would come back: another body or type was handled with its id",
        "m3: left: it would come back: not-json: " + out.splitlines()[2].split("not-json: ")[1],
        "m4: left: it would come back: invalid-user: " + out.splitlines()[3].split("user: ")[1],
        "0 sent back, 0 purged, 3 left, of 4 dead letters"]
    wait_both(world, (0, 4))
    lines = objects(world, "redrive", "--all", check=3)
    assert [o.get("done") for o in lines] == ["left", "left", "left", None]
    assert lines[-1] == {"sent_back": 1, "purged": 0, "left": 3, "total": 4}
    wait_both(world, (1, 3))
    out, _ = command(world, "redrive", "--all", "--force")
    assert out.count("sending back: it would come back") == 3
    wait_both(world, (4, 0))


def test_letters_of_an_older_release(world):
    """The reasons that they have stay as they are; what would become of them is told in the words of today."""
    old = [dead(1, "not-json", body="[1]"), dead(2, "not-json", body='{"id":1,"n":1e400}'),
           dead(3, "invalid-user", body="[]"), dead(4, "not-json", body='{"id":1,"id":1}'),
           dead(5, "a reason of tomorrow"), dead(6, "not-json", content_encoding="gzip", body="x"),
           dead(7, "not-json", body=USER % 7)]
    put(world, old)
    listed = objects(world, "list")
    assert [o["reason"] for o in listed] == [properties.headers["dead-letter-reason"] for _, properties in old]
    assert objects(world, "show", "m2")[0]["reason"] == "not-json"
    lines = objects(world, "redrive", "--all", "--dry-run", check=3)[:-1]
    assert [line["why"].split(": ")[1] if line["why"] else "" for line in lines] == [
        "not-an-object", "number-out-of-range", "not-an-object", "invalid-user", "", "unsupported-content", ""]
    command(world, "redrive", "--all", check=3)
    wait_both(world, (2, 5))
    command(world, "redrive", "--all", "--force")
    wait_both(world, (7, 0))
    session = world.session_service()
    eventually(lambda: world.count(world.dead) == 5, "what cannot be handled is back")
    session.stop()
    assert sorted((o["id"], o["reason"], o["count"]) for o in objects(world, "list")) == [
        ("m1", "not-an-object", 3), ("m2", "number-out-of-range", 3), ("m3", "not-an-object", 3),
        ("m4", "invalid-user", 3), ("m6", "unsupported-content", 3)]


def test_a_redriven_message_is_counted_and_takes_effect_once(world):
    service = world.session_service().wait_ready()
    world.publish("{", message_id="bad")
    eventually(lambda: service.events("user.dead_lettered"), "it is put aside")
    eventually(lambda: count_dead(world) == 1, "it is there")
    first = objects(world, "list")[0]
    assert first["count"] == 1
    command(world, "redrive", "bad", "--force")
    eventually(lambda: [o["count"] for o in objects(world, "list")] == [2], "it is put aside again")
    again = objects(world, "list")[0]
    assert again["first_at_ms"] == first["first_at_ms"] and again["last_at_ms"] > first["last_at_ms"]

    world.publish(USER % 1, message_id="m1")
    put_again = dead(1)
    channel = world.channel()
    channel.confirm_delivery()
    channel.basic_publish("", world.dead, put_again[0], put_again[1])
    channel.connection.close()
    eventually(lambda: world.count(world.dead) == 2, "both are there")
    eventually(lambda: service.handled_ids() == ["m1"], "it is handled")
    command(world, "redrive", "m1")
    eventually(lambda: len(service.handled_ids()) == 2, "it is handled again")
    assert [e["outcome"] for e in service.events("user.saved")] == ["handled", "duplicate"]
    command(world, "purge", "bad")
    eventually(lambda: service.metric("session_service_dead_letters_pending") == 0, "its copies are confirmed")
    service.stop()
    wait_both(world, (0, 0))


def test_purge(world):
    put(world, [dead(1), dead(2), dead(1, reason="id-conflict"), dead(3)])
    out, err = command(world, "purge", "m1", "m9", check=3)
    assert out == "0 sent back, 2 purged, 0 left, of 4 dead letters\n"
    assert err.splitlines()[1:] == ["no dead letter has the id m9"]
    wait_both(world, (0, 2))
    assert [o["id"] for o in objects(world, "list")] == ["m2", "m3"]


@pytest.mark.parametrize("arguments,what", [
    ((), "list, show ID..., redrive [ID...] or purge ID... is needed"),
    (("lost",), "is needed"),
    (("list", "m1"), "list takes no ids"),
    (("show",), "show needs at least one id"),
    (("purge",), "purge needs at least one id"),
    (("redrive",), "redrive needs at least one id, or --all"),
    (("redrive", "--all", "m1"), "contradict"),
    (("purge", "m1", "--dry-run"), "purge takes no --dry-run"),
    (("purge", "--all"), "purge takes no --all"),
    (("list", "--rate", "5"), "list takes no --rate"),
    (("list", "--limit", "0"), "limit"),
    (("list", "list"), "list takes no ids"),
    (("List",), "is needed"),
    (("--list",), "unknown option --list"),
    (("list", "--lim", "5"), "unknown option --lim"),
    (("list", "--json=1"), "--json takes no value"),
    (("list", "--after", "99999999999"), "after"),
    (("redrive", "--all", "--rate=1e3"), "rate"),
    (("redrive", "--dry-run"), "redrive needs at least one id, or --all"),
    (("show", "m1", "--limit", "5"), "show takes no --limit"),
    (("show", "--all"), "show takes no --all"),
    (("purge", ""), "purge: an id is empty"),
    (("redrive", "m1", ""), "redrive: an id is empty"),
    (("lost", "--check-config"), "is needed"),
    (("purge", "--check-config"), "purge needs at least one id"),
    (("list", "--amqp-url", "hunter2"), "amqp-url: scheme: "),
])
def test_the_command_line_is_judged(world, arguments, what):
    out, err = command(world, *arguments, check=2)
    assert what in err and out == "" and "hunter2" not in err


def test_faults_of_the_broker_are_told(world):
    world.queue += "x"
    for verb in ("list",), ("show", "m1"), ("redrive", "--all"), ("purge", "m1"):
        out, err = command(world, *verb, "--amqp-url", "amqp://guest:hunter2@127.0.0.1:1/", check=1)
        place, told = err.splitlines()
        assert out == "" and place == "queue %s.dead of amqp://guest@127.0.0.1:1/" % world.queue
        assert "broker 127.0.0.1:1: connect: Connection refused" in told
    _, err = command(world, "list", "--amqp-url", world.url.replace("guest@", "hunter2@"), check=2)
    assert "login" in err and "hunter2" not in err


def test_a_broker_that_stalls_is_waited_for(world, broker):
    put(world, [dead(1)])
    proxy = Proxy(broker.port)
    world.closers.append(proxy.close)
    proxy.stall()
    process = start(world, "list", "--amqp-url", "amqp://guest:guest@127.0.0.1:%d/" % proxy.port)
    eventually(lambda: proxy.pairs, "it has connected")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(6)  # longer than a daemon would wait for a login
    proxy.resume()
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0 and "m1" in out, (out, err)


def test_where_there_is_nowhere_to_send_to(world):
    put(world, [dead(n) for n in range(1, 400)])
    world.delete()
    assert "the queue to send to does not exist" in command(world, "redrive", "--all", check=1)[1]
    assert world.count(world.dead) == 399


def test_where_the_queue_refuses(world):
    put(world, [dead(n) for n in range(1, 400)])
    world.delete()
    channel = world.channel()
    channel.queue_declare(world.queue, durable=True,
                          arguments={"x-max-length": 10, "x-overflow": "reject-publish"})
    channel.connection.close()
    assert "the queue to send to refuses" in command(world, "redrive", "--all", check=1)[1]
    assert sum(both(world)) == 399  # what was confirmed is not left beside its copy
    back = {p.message_id for p, _ in drain(world, world.queue)}
    left = {p.message_id for p, _ in drain(world, world.dead)}
    assert back | left == {"m%d" % n for n in range(1, 400)} and len(back) >= 10


@pytest.fixture
def slow_disk(broker):
    """Of the broker: what its quorum queues are told takes effect some time later."""
    broker.evaluate("register(slow_disk, spawn(fun Slow() -> sys:suspend(ra_log_wal), timer:sleep(20), "
                    "sys:resume(ra_log_wal), timer:sleep(2), Slow() end))")
    yield
    # Killed, it may have asked for one more pause: that must come before the end of all.
    broker.evaluate("P = whereis(slow_disk), M = monitor(process, P), exit(P, kill), "
                    "receive {'DOWN', M, process, P, _} -> sys:resume(ra_log_wal) end")


def test_commands_in_a_row(world, slow_disk):
    """Each finds what the one before it has looked at and left."""
    put(world, [dead(n) for n in range(100)])
    for n in range(0, 12, 2):
        assert len(objects(world, "list", "--limit", "3")) == 3
        assert len(objects(world, "list")) == 100 - n
        command(world, "redrive", "m%d" % n)
        command(world, "purge", "m%d" % (n + 1))
    wait_both(world, (6, 88))


def test_looking_often_loses_nothing(world):
    """RabbitMQ 4 drops a quorum queue's message after 20 returns; a letter is moved before that."""
    everyone = ["m%d" % n for n in range(1, 121)]  # more than a channel sends acks of at once
    put(world, [dead(n) for n in range(1, 121)])
    for _ in range(25):
        assert sorted(o["id"] for o in objects(world, "list", "--limit", "200")) == sorted(everyone)
    command(world, "redrive", "--all")
    wait_both(world, (120, 0))


def test_looking_often_at_many_headers_loses_nothing(world):
    put(world, [dead(1, more={"a%02d" % n: n for n in range(40)})])
    for _ in range(14):
        command(world, "list")
    _, properties, _ = world.get(world.dead)
    assert properties.headers.get("x-delivery-count", 0) < 8  # it was moved


def test_a_rate_is_kept(world):
    put(world, [dead(n) for n in range(1, 12)])
    begin = time.monotonic()
    command(world, "redrive", "--all", "--rate", "5")
    assert time.monotonic() - begin >= 2.0  # eleven at five in a second: 10 / 5
    wait_both(world, (11, 0))


def start(world, *arguments):
    return subprocess.Popen([binary("session-service"), "dead-letters", *arguments,
                             "--queue", world.queue], env=dict(os.environ, AMQP_URL=world.url),
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def test_interrupted_it_ends_in_good_order(world):
    put(world, [dead(n) for n in range(1, 301)])
    process = start(world, "redrive", "--all", "--rate", "2")  # not at its end before more than two minutes
    eventually(lambda: world.count() > 1, "some are sent back")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 3 and "interrupted" in err
    sent = int(out.split(" sent back")[0])
    assert 1 < sent < 300
    assert both(world) == (sent, 300 - sent)
    command(world, "redrive", "--all")
    wait_both(world, (300, 0))


def test_a_reader_that_leaves(world):
    put(world, [dead(n) for n in range(1, 300)])
    with open("/dev/full", "w") as full:
        done = subprocess.run([binary("session-service"), "dead-letters", "list", "--json",
                               "--queue", world.queue, "--limit", "300"],
                              env=dict(os.environ, AMQP_URL=world.url), stdout=full,
                              stderr=subprocess.PIPE, text=True, timeout=PATIENCE_S)
    assert done.returncode == 1 and "cannot write to standard output" in done.stderr
    assert both(world) == (0, 299)


def test_closed_standard_output_is_told(world):
    """The connection must not get its number, and with it what is printed."""
    put(world, [dead(n) for n in range(1, 601)])
    done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", binary("session-service"),
                           "dead-letters", "list", "--limit", "600", "--queue",
                           world.queue],
                          env=dict(os.environ, AMQP_URL=world.url), stderr=subprocess.PIPE,
                          text=True, timeout=PATIENCE_S)
    assert done.returncode == 1 and "cannot write to standard output" in done.stderr
    assert both(world) == (0, 600)


def test_killed_in_the_middle_nothing_is_lost(world, deadline):
    """kill -9 between a list and a re-drive, and in the middle of a re-drive.

    REDRIVE_TEST_LETTERS letters (1500), REDRIVE_TEST_KILLS kills (4); REDRIVE_TEST_SEED repeats a run.
    """
    letters = int(os.environ.get("REDRIVE_TEST_LETTERS", "1500"))
    kills = int(os.environ.get("REDRIVE_TEST_KILLS", "4"))
    seed = int(os.environ.get("REDRIVE_TEST_SEED", random.randrange(1 << 30)))
    print("seed", seed)
    deadline(240 + letters // 50 + 4 * kills)
    begin = time.monotonic()
    put(world, [dead(n) for n in range(1, letters + 1)])
    moments = random.Random(seed)
    looking = start(world, "list", "--json", "--limit", str(letters))
    looking.stdout.readline()
    looking.kill()
    looking.communicate(timeout=PATIENCE_S)
    for _ in range(kills):
        process = start(world, "redrive", "--all")
        before = world.count()
        # The moments are spread over the work.
        more = moments.randrange(1, 16 * letters // (10 * kills))
        eventually(lambda: process.poll() is not None or world.count() >= before + more, "so many are sent")
        time.sleep(moments.uniform(0, 0.01))
        process.kill()
        process.communicate(timeout=PATIENCE_S)
    # What the killed one held comes back when the broker has noticed: it may be after another run.
    all_ids = {"m%d" % n for n in range(1, letters + 1)}
    back = [p.message_id for p, _ in drain(world, world.queue)]
    left = letters - len(set(back))

    def redrive_the_rest():
        command(world, "redrive", "--all", timeout=PATIENCE_S + letters // 50)
        back.extend(p.message_id for p, _ in drain(world, world.queue))
        return set(back) == all_ids and world.count(world.dead) == 0

    eventually(redrive_the_rest, "each was sent back")
    on_its_way = 2 * 256  # published, and acked without the queue having seen it
    assert len(back) - letters <= kills * on_its_way
    print("%d letters, %d kills, %d left after the last, %d sent back twice, %.0f s" %
          (letters, kills, left, len(back) - letters, time.monotonic() - begin))
