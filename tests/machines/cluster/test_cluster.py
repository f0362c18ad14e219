"""A cluster of three under load: its queue's leader is killed, cut off, and parted from the other nodes alone.

Both services have the leader's node as the first of their hosts. Each fault meets two user-services at once, one
with the outbox and one without. CLUSTER_ROUNDS: how often each fault comes (1); from the second time on the order
of the hosts and how long it lasts are drawn with CLUSTER_SEED.
"""

import concurrent.futures
import os
import random
import threading
import time

import pika
import pytest

from clients import Clients
from stage import Stage
from support.wait import wait_until

ROUNDS = int(os.environ.get("CLUSTER_ROUNDS", "1"))
SEED = int(os.environ.get("CLUSTER_SEED", random.randrange(1 << 30)))
# Of the user-service. What its clients leave in the middle of a request would be waited for.
OPTIONS = ("--drain-timeout", "2s", *os.environ.get("CLUSTER_OPTIONS", "").split())
CLIENTS = 4
POISON_INTERVAL_S = 0.3
SAVES = 100  # of each stage, confirmed: then it has work
GOES_ON_SECONDS = 240  # on a busy machine too: what never goes on uses it up


class ClusterStage(Stage):
    """Its queues' leaders are on one node, and each service knows all nodes."""

    def __init__(self, cluster, leader, hosts, **options):
        self.leader, self.hosts = leader, hosts
        super().__init__(cluster, **options)
        self.clients = Clients(self.user.port, self.attempts, self.queue, connections=CLIENTS)

    def _url(self, name, user):
        return ",".join(node.url() for node in self.hosts)

    def channel(self, node=None):
        url = node.url() if node is not None else self.broker.url()
        return pika.BlockingConnection(pika.URLParameters(url)).channel()

    def declare(self):
        """A queue's leader is on the node that declares it."""
        super().declare(self.channel(self.leader))

    def start_load(self, rng):
        """Clients of the user-service, and one who puts what is no user on the queue, over another node."""
        self.strangers.url = rng.choice([n for n in self.hosts if n is not self.leader]).url()
        self.clients.start()
        self.poisoner = threading.Thread(target=self._poison, args=(rng,), daemon=True)
        self.poisoner.start()

    def _poison(self, rng):
        while not self.clients.stopping.wait(POISON_INTERVAL_S):
            self.strangers.poison(rng, 1)

    def stop_load(self):
        self.clients.stop()
        self.poisoner.join(GOES_ON_SECONDS)
        assert not self.poisoner.is_alive(), "the stranger is stuck"

    def confirmed(self):
        return self.clients.statuses.get(200, 0)

    def hosts_of(self, daemon):
        return [event["host"] for event in daemon.events("broker.connected")]


def await_saves(stages, what, count=SAVES):
    before = [stage.confirmed() for stage in stages]
    wait_until(lambda: all(stage.confirmed() >= n + count for stage, n in zip(stages, before)),
               GOES_ON_SECONDS, what)


def leader_is_killed(cluster, leader, stages, hold_s):
    leader.kill()
    await_saves(stages, "saves without the leader")
    time.sleep(hold_s)  # how long it is away is the run's input
    leader.start()


def part(cluster, leader, stages, hold_s, networks):
    downs, pauses = cluster.downs(leader), leader.pauses()
    for network in networks:
        leader.link(network, "down")
    cluster.await_parted(leader, downs, pauses)
    await_saves(stages, "saves without the leader")
    time.sleep(hold_s)  # the run's input, too
    for network in networks:
        leader.link(network, "up")


def leader_is_cut_off(cluster, leader, stages, hold_s):
    """From the other nodes and from the services."""
    part(cluster, leader, stages, hold_s, ("cluster", "clients"))


def leader_is_parted(cluster, leader, stages, hold_s):
    """From the other nodes; the services reach it as before."""
    part(cluster, leader, stages, hold_s, ("cluster",))


def print_figures(stage):
    clients, attempts = stage.clients, stage.attempts
    print("outbox %s: %d attempted, %d 200, %d 202, %d refused, %d unknown; longest time without 200 or 202"
          " %.1f s, without 200 %.1f s; longest reply %.1f s" % (
              "on" if stage.outbox else "off", attempts.count, clients.statuses.get(200, 0),
              clients.statuses.get(202, 0), attempts.classes["failed"], attempts.classes["unknown"],
              clients.longest_gap_s, clients.longest_gap_200_s, clients.longest_s))


def print_events(stage):
    for daemon in stage.daemons.values():
        for event in daemon.events():
            if event["event"].startswith(("broker.", "consumer.", "service.", "dead_letters.")):
                print(event)


def play(cluster, fault, leader, stages, rng, hold_s):
    for stage in stages:
        stage.start()
    members = cluster.members(leader)
    for stage in stages:
        assert members[stage.queue] == (leader.rabbit(), len(cluster.nodes))
        for daemon in stage.daemons.values():
            assert stage.hosts_of(daemon) == [stage.hosts[0].address("clients")]
        stage.start_load(rng)
    await_saves(stages, "saves before the fault")
    fault(cluster, leader, stages, hold_s)
    cluster.await_whole()
    await_saves(stages, "saves with the node that is back")
    for stage in stages:
        stage.stop_load()
    with concurrent.futures.ThreadPoolExecutor(len(stages)) as pool:
        list(pool.map(Stage.settle, stages))


def judge(stages):
    for stage in stages:
        print_figures(stage)
        assert stage.check(min_ok=3 * SAVES) == 0
    for stage in stages:
        stage.delete_queues()


@pytest.mark.parametrize("fault", [leader_is_killed, leader_is_cut_off, leader_is_parted])
@pytest.mark.parametrize("number", range(ROUNDS))
def test_nothing_is_lost(cluster, fault, number):
    print("\n%s, seed %d, round %d" % (fault.__name__, SEED, number))
    rng = random.Random("%d/%d/%s" % (SEED, number, fault.__name__))
    leader = rng.choice(cluster.nodes)
    hosts = [leader] + [node for node in cluster.nodes if node is not leader]
    hold_s = 0
    if number > 0:
        rng.shuffle(hosts)
        hold_s = rng.uniform(0, 5)
    stages = []
    try:
        for outbox in (True, False):
            stages.append(ClusterStage(cluster, leader, hosts, outbox=outbox, options=OPTIONS))
        play(cluster, fault, leader, stages, rng, hold_s)
        judge(stages)
    except BaseException:
        for stage in stages:
            print_events(stage)
        raise
    finally:
        for stage in stages:
            stage.close()
