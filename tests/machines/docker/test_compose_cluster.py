"""docker-compose.cluster.yml: three nodes, and the loss of the worst one under load."""

from support.compose import run
from support.load import Load
from support.wait import wait_until

NODES = ["rabbitmq", "rabbitmq-2", "rabbitmq-3"]


def queue(cluster, node, column):
    """What one node says of the queue session; nothing while it is starting or an election is on."""
    try:
        lines = cluster.execute(node, "rabbitmqctl", "-q", "list_queues", "--no-table-headers",
                                "name", column).splitlines()
    except AssertionError:
        return ""
    return "".join(line.split("\t", 1)[1] for line in lines if line.split("\t")[0] == "session")


def online_members(cluster, node):
    return queue(cluster, node, "online").count("rabbit@")


def leader_of(cluster, node):
    return queue(cluster, node, "leader").partition("@")[2]


def test_the_loss_of_the_leader_under_load(cluster):
    wait_until(lambda: online_members(cluster, NODES[0]) == 3, 60, "a copy of the queue on each node")
    wait_until(lambda: leader_of(cluster, NODES[0]) in NODES, 60, "the queue has a leader")
    leader = leader_of(cluster, NODES[0])
    others = [node for node in NODES if node != leader]
    load = Load(3000, connections=4, count=1000000, prefix="cluster",
                interval_s=0.02).start()
    try:
        wait_until(lambda: len(load.ok) > 500, 30, "saves with three nodes")
        run("docker", "kill", cluster.container(leader))
        before = len(load.ok)
        wait_until(lambda: len(load.ok) > before + 500, 60, "saves with two nodes")
        wait_until(lambda: leader_of(cluster, others[0]) in others, 60, "another node leads")
        cluster.wait_ready()
        cluster("start", leader)
        wait_until(lambda: cluster.inspect(leader)["State"]["Health"]["Status"] == "healthy", 90,
                   "the node is up")
        wait_until(lambda: online_members(cluster, others[0]) == 3, 90, "the node is back")
        before = len(load.ok)
        wait_until(lambda: len(load.ok) > before + 500, 60, "saves with three nodes again")
    finally:
        load.stop()
        load.join()
    assert not load.failed, load.statuses
    cluster.wait_all_handled(load)
