"""PostgreSQL's primary is lost under load and its synchronous standby is promoted; two session-services share them.

Its machine fails, or only the services lose it: then it goes on by itself, has batches in hand whose COMMIT it may
finish, and answers to nobody. In both cases nothing is lost and nothing takes effect twice.
"""

import argparse
import contextlib
import datetime
import os
import random
import time

import pytest

import checker
from shared_store import POISON_EVERY, Run, took_effect
from support.postgres import MISSING
from support.postgres_pair import Pair
from support.wait import wait_until

FOLDER = os.environ["CLUSTER_DATABASES"]
SEED = int(os.environ.get("CLUSTER_SEED", random.randrange(1 << 30)))
MESSAGES = 10000
LOST_AT = MESSAGES // 4  # took effect by then
GOES_ON_SECONDS = 240  # on a busy machine too: what never goes on uses it up
# After the promotion. A try of a host that is silent ends after 2 s, and the longest wait between two tries is 5 s; the
# system itself gives a host up after more than a minute.
NO_PROGRESS_SECONDS = 60


def machine_fails(pair):
    pair.primary.kill()


def services_are_cut_off(pair):
    pair.primary.link("store", "down")


def events(services):
    """Of all their logs, those of ended processes too."""
    for service in services:
        for log in service.logs:
            yield from checker.read_lines(log, may_be_torn=True)


def seconds(event):
    return datetime.datetime.fromisoformat(event["time"].replace("Z", "+00:00")).timestamp()


def handled_at(services):
    """The times at which they have logged what took effect."""
    return sorted(seconds(event) for event in events(services) if event["event"] == "user.saved")


def longest_gap(found):
    return max(((later - earlier, earlier) for earlier, later in zip(found, found[1:])))


def print_pauses(services, since):
    for event in events(services):
        if event["event"].startswith(("store.", "consumer.", "broker.")):
            print("%6.1f s" % (seconds(event) - since), event["event"], event.get("error", event.get("host", "")))


@pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
@pytest.mark.parametrize("fault", [machine_fails, services_are_cut_off])
def test_a_standby_is_promoted(cluster, tmp_path, fault):
    print("\n%s, seed %d" % (fault.__name__, SEED))
    options = argparse.Namespace(messages=MESSAGES, services=2, seed=SEED, build=None)
    with contextlib.ExitStack() as stack:
        pair = stack.enter_context(contextlib.closing(Pair(FOLDER)))
        pair.start()
        run = stack.enter_context(contextlib.closing(Run(options, str(tmp_path), cluster, pair.database())))
        run.queue = fault.__name__
        run.start()
        wait_until(lambda: took_effect(run.database) >= LOST_AT, GOES_ON_SECONDS, "messages take effect")
        fault(pair)
        lost_at = time.time()
        before = took_effect(run.database)
        pair.promote()
        promoted_at = time.time()
        wait_until(lambda: took_effect(run.database) > before, GOES_ON_SECONDS, "messages take effect again")
        for service in run.services:
            wait_until(service.is_ready, GOES_ON_SECONDS, "a service is ready")
        run.await_end()
        gap, began_at = longest_gap(handled_at(run.services))
        print("%d of %d had taken effect; promoted after %.1f s; no message was handled for %.1f s, from %.1f s after the"
              " loss to %.1f s after the promotion" % (before, MESSAGES, promoted_at - lost_at, gap, began_at - lost_at,
                                                      began_at + gap - promoted_at))
        print_pauses(run.services, lost_at)
        assert before < MESSAGES - MESSAGES // POISON_EVERY, "the work was over before the loss"
        assert run.judge(run.database.url(numbers=[pair.standby.number]))
        assert began_at + gap - promoted_at < NO_PROGRESS_SECONDS
