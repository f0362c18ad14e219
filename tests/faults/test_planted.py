"""Builds with a planted fault: the checker catches each, and finds nothing in the same scenario without it."""

import concurrent.futures
import os
import shutil
import subprocess
import threading

import pytest

import checker
from scenarios import MORE_RULES, SCENARIOS
from stage import Stage
from support import postgres
from support.broker import Broker
from support.services import ROOT

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCES = ("CMakeLists.txt", "cmake", "common", "user-service", "session-service", "systemd", "docs")
AT_ONCE = 3

# patch: (scenario, the rules that are broken)
PLANTED = {
    "ack-before-commit": ("store_fails_and_the_process_is_killed", {"lost"}),
    "no-confirm": ("nothing_reaches_the_broker", {"lost"}),
    "success-on-timeout": ("nothing_reaches_the_broker", {"lost"}),
    "success-on-disconnect": ("connection_ends_with_saves_in_flight", {"lost"}),
    "return-ignored": ("queue_is_gone", {"lost"}),
    "nack-is-success": ("publishes_are_refused", {"lost"}),
    "outbox-deletes-before-the-confirm": ("publishes_are_refused", {"lost"}),
    "stored-before-the-commit": ("outbox_cannot_be_written", {"lost"}),
    "names-not-looked-at": ("outbox_is_removed", {"lost"}),
    "no-deduplication": ("strangers_on_the_queue", {"double"}),
    "conflict-is-a-duplicate": ("strangers_on_the_queue", {"lost"}),
    "older-overwrites-newer": ("strangers_on_the_queue", {"stale"}),
    "lock-for-everybody": ("two_session_services", {"lost"}),
    "no-tombstone": ("killed_around_deletions", {"revived", "stale"}),
    "deletion-removes-a-newer-user": ("killed_around_deletions", {"missing"}),
    "log-lines-dropped": ("strangers_on_the_queue", {"unlogged"}),
    "dead-letter-dropped": ("strangers_on_the_queue", {"lost"}),
    "dead-letter-acked-before-its-copy": ("dead_letters_are_refused_and_the_process_is_killed", {"lost"}),
    "ack-reaches-too-far": ("dead_letters_are_refused_and_the_process_is_killed", {"lost"}),
    "key-not-written": ("keys_come_with_other_users_after_a_kill", {"reused", "misplaced"}),
    "not-persistent": ("broker_is_restarted", {"lost"}),
    "shared-users-unsorted": ("services_save_the_same_few_users", {"deadlocked"}),
    "shared-inbox-unsorted": ("copies_meet_in_another_order", {"deadlocked"}),
    "shared-no-fold": ("strangers_on_a_shared_store", {"missing", "stale"}),
    "shared-hash-not-compared": ("strangers_on_a_shared_store", {"lost"}),
    "shared-blind-retry": ("commits_are_not_answered", {"counted-twice", "repeated"}),
}


def run(*command, cwd=None):
    done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise AssertionError("%s: %s" % (" ".join(command), done.stdout[-3000:]))


class Builds:
    """One copy of the sources; for each patch only what it touches is compiled, and the programs are kept."""

    def __init__(self, directory):
        self.directory = str(directory)
        self.tree = os.path.join(self.directory, "tree")
        os.mkdir(self.tree)
        for name in SOURCES:
            source = os.path.join(ROOT, name)
            copy = shutil.copytree if os.path.isdir(source) else shutil.copy2
            copy(source, os.path.join(self.tree, name))
        shutil.copy2(os.path.join(ROOT, "LICENSE"), self.tree)
        run("cmake", "-S", self.tree, "-B", self.tree + "/build", "-G", "Ninja",
            "-DCMAKE_BUILD_TYPE=Debug")

    def build(self, name):
        """Returns a build directory."""
        if name is not None:
            self._apply(name)
        run("ninja", "-C", self.tree + "/build", "user-service/user-service",
            "session-service/session-service")
        kept = os.path.join(self.directory, name or "unpatched")
        for service in ("user-service", "session-service"):
            os.makedirs(os.path.join(kept, service))
            shutil.copy2(os.path.join(self.tree, "build", service, service),
                         os.path.join(kept, service, service))
        if name is not None:
            self._apply(name, "--reverse")
        return kept

    def _apply(self, name, *more):
        run("git", "apply", *more, os.path.join(HERE, "planted", name + ".patch"), cwd=self.tree)


class Stores:
    """One PostgreSQL, started when the first scenario needs it."""

    def __init__(self):
        self.server, self.lock = None, threading.Lock()

    def database(self):
        with self.lock:
            if self.server is None:
                self.server = postgres.Postgres()
                self.server.start("deadlock_timeout=100ms")
            return self.server.database()

    def close(self):
        if self.server is not None:
            self.server.close()


def why_not(name):
    """Why a scenario cannot be played here; None where it can."""
    return postgres.MISSING if "store" in SCENARIOS[name][1] else None


def play(broker, stores, build, name):
    """The rules that a build breaks in a scenario."""
    function, options = SCENARIOS[name]
    if "store" in options:
        options = dict(options, store=stores.database())
    stage = Stage(broker, build=build, **options)
    try:
        stage.start()
        more = function(stage)
        stage.settle(still_s=1)
        broken = stage.judge()
        if more is not None:
            broken.update(more())
        stage.delete_queues()
        return broken
    finally:
        stage.close()


def selected(request, parameter):
    """The values of a parameter in the tests that this run has chosen."""
    chosen = [item.callspec.params for item in request.session.items
              if item.fspath == request.fspath and hasattr(item, "callspec")]
    return sorted(params[parameter] for params in chosen if parameter in params)


@pytest.fixture(scope="module")
def results(request, tmp_path_factory):
    """What each chosen scenario shows of the good build, and of each planted one: (scenario, patch): rules."""
    builds = Builds(tmp_path_factory.mktemp("planted"))
    broker, stores = Broker(), Stores()
    futures = {}
    try:
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            good = builds.build(None)
            broker.start()
            alone = {}

            def submit(key, build):
                if why_not(key[0]):
                    return
                if SCENARIOS[key[0]][1].get("alone"):
                    alone[key] = build
                else:
                    futures[key] = pool.submit(play, broker, stores, build, key[0])
            for name in selected(request, "name"):
                submit((name, None), good)
            for patch in selected(request, "patch"):
                submit((PLANTED[patch][0], patch), builds.build(patch))
            concurrent.futures.wait(futures.values())
            for key, build in alone.items():
                futures[key] = pool.submit(play, broker, stores, build, key[0])
                concurrent.futures.wait([futures[key]])
        yield futures
    finally:
        broker.close()
        stores.close()


@pytest.mark.parametrize("name", SCENARIOS)
def test_nothing_is_found_in_the_good_build(results, name):
    if why_not(name):
        pytest.skip(why_not(name))
    assert results[(name, None)].result() == {}


@pytest.mark.parametrize("patch", PLANTED)
def test_a_planted_fault_is_caught(results, patch):
    name, rules = PLANTED[patch]
    if why_not(name):
        pytest.skip(why_not(name))
    assert set(results[(name, patch)].result()) == rules


def test_every_patch_and_every_scenario_is_used():
    patches = {name[:-len(".patch")] for name in os.listdir(os.path.join(HERE, "planted"))}
    assert patches == set(PLANTED)
    assert {name for name, _ in PLANTED.values()} == set(SCENARIOS)
    assert {rule for _, rules in PLANTED.values() for rule in rules} <= {*checker.RULES, *MORE_RULES}
