"""docker-compose.cluster.yml: three nodes, and the loss of the worst one under load."""

from support.compose import run
from support.load import Load
from support.wait import eventually

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
    eventually(lambda: online_members(cluster, NODES[0]) == 3, "a copy of the queue on each node")
    eventually(lambda: leader_of(cluster, NODES[0]) in NODES, "the queue has a leader")
    leader = leader_of(cluster, NODES[0])
    others = [node for node in NODES if node != leader]
    load = Load(3000, connections=4, count=1000000, prefix="cluster",
                interval_s=0.02).start()
    try:
        eventually(lambda: len(load.ok) > 500, "saves with three nodes")
        run("docker", "kill", cluster.container(leader))
        before = len(load.ok)
        eventually(lambda: len(load.ok) > before + 500, "saves with two nodes")
        eventually(lambda: leader_of(cluster, others[0]) in others, "another node leads")
        cluster.wait_ready()
        cluster("start", leader)
        eventually(lambda: cluster.inspect(leader)["State"]["Health"]["Status"] == "healthy", "the node is up")
        eventually(lambda: online_members(cluster, others[0]) == 3, "the node is back")
        before = len(load.ok)
        eventually(lambda: len(load.ok) > before + 500, "saves with three nodes again")
    finally:
        load.stop()
        load.join()
    assert not load.failed, load.statuses
    cluster.wait_all_handled(load)
