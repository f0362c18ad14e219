"""Four shards on a cluster of three: their leaders are spread, and a node and a session-service are killed under load.

The order of each user is kept, no message is lost, and none takes effect twice in a store."""

import pika
import pytest

from support.sequences import Sequences, check_effects, check_order_with_repetitions, lines, seen
from support.services import Service
from support.wait import wait_until

SHARDS = 4
USERS = 40
SAVES = 200  # of each stage
GOES_ON_SECONDS = 240  # on a busy machine too: what never goes on uses it up
numbers = iter(range(100))


class Shards:
    """The services on one set of queues; each session-service has a store of its own."""

    def __init__(self, cluster):
        self.cluster, self.queue = cluster, "shards%d" % next(numbers)
        self.hosts = list(cluster.nodes)
        self.services = []

    def start(self, name, *options):
        environment = {"AMQP_URL": ",".join(node.url() for node in self.hosts)}
        service = Service(name, "--queue", self.queue, "--shards", str(SHARDS), "--heartbeat", "5s", *options,
                          environment=environment)
        self.services.append(service)
        service.start()
        wait_until(service.is_ready, GOES_ON_SECONDS, name + " is ready")
        return service

    def alone(self):
        """The broker balances the leaders of all queues: none is left of another test."""
        node = next(node for node in self.cluster.nodes if node.listens())
        connection = pika.BlockingConnection(pika.URLParameters(node.url()))
        for queue in self.cluster.members(node):
            connection.channel().queue_delete(queue)
        connection.close()
        assert not self.cluster.members(node)
        return self

    def prefer(self, node):
        """What is started from now on connects to it first."""
        self.hosts.sort(key=lambda one: one is not node)

    def leaders(self):
        members = self.cluster.members(next(node for node in self.cluster.nodes if node.listens()))
        return [members["%s.%d" % (self.queue, shard)] for shard in range(SHARDS)]

    def node_of(self, shard):
        leader, _ = self.leaders()[shard]
        return next(node for node in self.cluster.nodes if node.rabbit() == leader)

    def close(self):
        for service in self.services:
            service.close()


@pytest.fixture
def shards(cluster):
    one = Shards(cluster)
    try:
        yield one
    finally:
        one.close()


def await_saves(load, what):
    before = load.count()
    wait_until(lambda: load.count() >= before + SAVES, GOES_ON_SECONDS, what)


def await_all(load, *sessions):
    wait_until(lambda: set(load.accepted) <= seen(*sessions), GOES_ON_SECONDS, "all arrive")


def print_figures(load, *sessions):
    for session in sessions:
        outcomes = [outcome for _, _, _, outcome in lines(session)]
        print({outcome: outcomes.count(outcome) for outcome in sorted(set(outcomes))}, load.statuses)


def test_a_node_is_killed(cluster, shards):
    """With the outbox, and one session-service."""
    session = shards.alone().start("session-service")
    node = shards.node_of(0)
    shards.prefer(node)
    user = shards.start("user-service")
    members = shards.leaders()
    assert all(online == len(cluster.nodes) for _, online in members)
    assert {leader for leader, _ in members} == {node.rabbit() for node in cluster.nodes}, "leaders are spread"
    load = Sequences([user.port], USERS).start()
    await_saves(load, "saves before")
    node.kill()
    await_saves(load, "saves without the node")
    node.start()
    cluster.await_whole()
    await_saves(load, "saves with the node that is back")
    load.stop()
    await_all(load, session)
    print_figures(load, session)
    assert check_effects(session) == load.numbers


def test_a_node_and_a_service_are_killed(cluster, shards):
    """Without an outbox, which would let saves overtake others; two session-services divide the shards."""
    first = shards.start("session-service", "--consumer", "shared")
    node = shards.node_of(1)
    shards.prefer(node)
    user = shards.start("user-service", "--outbox", "off")
    load = Sequences([user.port], USERS).start()
    second = shards.start("session-service", "--consumer", "shared")
    wait_until(lambda: second.metric("session_service_active_shards") >= 2, GOES_ON_SECONDS, "they share")
    await_saves(load, "saves before")
    node.kill()
    await_saves(load, "saves without the node")
    first.kill()
    await_saves(load, "saves without the service")
    node.start()
    cluster.await_whole()
    await_saves(load, "saves with the node that is back")
    load.stop()
    await_all(load, first, second)
    print_figures(load, first, second)
    assert check_order_with_repetitions(first, second) == load.numbers
