"""From RabbitMQ 3.10 to 4.0: not in place, but from the old broker to a new one beside it, as docs/operations.md says."""

import os
import re
import subprocess
import time

import pika
import pytest

from support.load import Load
from support.services import ROOT, Service, binary
from support.wait import eventually, wait_until

QUORUM = {"x-queue-type": "quorum"}
QUEUE, DEAD = "session", "session.dead"
MESSAGES = 50
POISON = 3
STILL_SECONDS = 3  # a quorum queue that has just started counts up for a while
SAVES = 100000
SECONDS = 120


def channel_of(broker):
    channel = pika.BlockingConnection(pika.URLParameters(broker.url())).channel()
    channel.confirm_delivery()
    return channel


def publish(broker, count, prefix, body=b'{"name":"Ada"}'):
    channel = channel_of(broker)
    channel.queue_declare(QUEUE, durable=True, arguments=QUORUM)
    for number in range(count):
        channel.basic_publish("", QUEUE, body, pika.BasicProperties(message_id="%s-%d" % (prefix, number),
                                                                    delivery_mode=2), mandatory=True)
    channel.connection.close()


def count(broker, queue=QUEUE):
    """Of the ready messages, asked of the queue itself."""
    connection = pika.BlockingConnection(pika.URLParameters(broker.url()))
    try:
        return connection.channel().queue_declare(queue, passive=True).method.message_count
    finally:
        connection.close()


def test_the_data_of_the_old_do_not_boot_under_the_new(make_broker):
    """Though all feature flags are enabled: 3.10 does not know those that 4.0 requires. The data stay as they were."""
    old = make_broker("OLD", "in-place").start()
    publish(old, MESSAGES, "m")
    old.ctl("enable_feature_flag", "all")
    flags = old.ctl("list_feature_flags", "name", "state").splitlines()[1:]
    assert len(flags) > 5 and all(line.endswith("enabled") for line in flags), flags
    old.write_down_queues()
    old.stop()
    new = make_broker("NEW", "in-place")
    with pytest.raises(RuntimeError, match="did not start"):
        new.start()
    assert re.search("Feature flags: `[a-z_]+`: required feature flag not enabled", new.output())
    old.start()
    wait_until(lambda: count(old) == MESSAGES, SECONDS, "all messages are there")


class Walk:
    """Two user-services, a session-service, and the brokers that they are given one after the other."""

    def __init__(self, old, new):
        self.old, self.new = old, new
        self.services = {}
        self.users = [self.make("user-service", old) for _ in range(2)]
        self.session = self.make("session-service", old)

    @staticmethod
    def make(name, broker):
        return Service(name, "--amqp-url", broker.url(), "--queue", QUEUE).start().wait_ready()

    @staticmethod
    def give(service, broker):
        """Another amqp-url in the options, and a restart. It is drained, and keeps its state."""
        service.stop()
        service.arguments[service.arguments.index("--amqp-url") + 1] = broker.url()
        service.start()

    def close(self):
        for service in (*self.users, self.session):
            service.close()


def is_drained(broker):
    """The documented command, and that it stays so."""
    for _ in range(2):
        shown = broker.ctl("list_queues", "name", "messages", "messages_unacknowledged").splitlines()[1:]
        if any(line.split() != [QUEUE, "0", "0"] for line in shown if line.split()[0] == QUEUE) or count(broker) > 0:
            return False
        time.sleep(STILL_SECONDS)
    return True


def handled(walk):
    return walk.session.events("user.saved")


def test_the_walk_to_a_new_broker_loses_nothing_and_does_nothing_twice(make_broker):
    old, new = make_broker("OLD", "old").start(), make_broker("NEW", "new")
    walk = Walk(old, new)
    loads = [Load(user.port, 4, SAVES, "load%d" % i, interval_s=0.02).start() for i, user in enumerate(walk.users)]
    try:
        publish(old, POISON, "poison", b"not json")
        eventually(lambda: min(len(load.ok) for load in loads) > 200, "saves before")
        # 1. The session-service is held up, so that there is something on the old queue that is not consumed yet.
        walk.session.stop()
        eventually(lambda: count(old) > 100, "messages wait on the old broker")
        # 2. The user-services, one after the other. The first is even given the new broker before that is there.
        for user, load in zip(walk.users, loads):
            Walk.give(user, new)
            if new.process is None:
                eventually(lambda: load.statuses.get(202, 0) > 100, "saves go to its outbox")
                new.start()
            user.wait_ready()
            enough = len(load.ok) + 200
            eventually(lambda: len(load.ok) > enough, "saves by the new broker")
        waiting = count(old)
        assert waiting > 100 and count(new) > 100
        # 3. The session-service drains the old broker.
        walk.session.start()
        wait_until(lambda: is_drained(old), SECONDS, "the old queue is empty and stays so")
        assert count(new) > 100, "nobody consumes from the new one yet"
        # 4. Then it is given the new one.
        Walk.give(walk.session, new)
        walk.session.wait_ready()
    finally:
        for load in loads:
            load.stop()
        for load in loads:
            load.join()
    ok = {key for load in loads for key in load.ok}
    wait_until(lambda: is_drained(new), SECONDS, "all is consumed")
    ids = [e["message_id"] for e in handled(walk)]
    assert ok <= set(ids), "lost: %s" % sorted(ok - set(ids))[:10]
    once = [e["message_id"] for e in handled(walk) if e["outcome"] in ("handled", "outdated")]
    assert len(once) == len(set(once)), "twice"
    for user in walk.users:
        assert user.metric("user_service_outbox_saves") == 0
    # 5. The dead letters of the old broker are still there, and are handled there.
    assert count(old, DEAD) == POISON
    command = [binary("session-service"), "dead-letters", "list", "--queue", QUEUE, "--amqp-url"]
    listed = subprocess.run([*command, old.url()], text=True, stdout=subprocess.PIPE, check=True).stdout
    assert all("poison-%d" % number in listed for number in range(POISON)), listed
    assert subprocess.run([*command, new.url()], text=True, stdout=subprocess.PIPE, check=True).stdout == ""
    walk.close()


ARGUMENTS = [({"x-message-ttl": 600000}, "x-message-ttl 600000"), ({"x-max-length": 1000}, "x-max-length 1000"),
             ({"x-expires": 600000, "x-single-active-consumer": True}, "x-expires 600000"),
             ({"x-max-length": 1000, "x-overflow": "reject-publish", "x-dead-letter-exchange": "e"}, None)]


@pytest.mark.parametrize("release", ["OLD", "NEW"])
def test_both_tell_which_arguments_discard(make_broker, release):
    broker = make_broker(release, "arguments-" + release).start()
    for number, (arguments, named) in enumerate(ARGUMENTS):
        queue = "q%d" % number
        channel_of(broker).queue_declare(queue, durable=True, arguments=dict(QUORUM, **arguments))
        user = Service("user-service", "--amqp-url", broker.url(), "--queue", queue).start().wait_ready()
        warning = user.get("/readyz").json().get("warning", "")
        assert (named or "") in warning and bool(warning) == bool(named), warning
        assert [named in e["discards"] for e in user.events("queue.discards")] == ([True] if named else [])
        user.close()


def test_the_page_names_what_was_tried():
    with open(os.path.join(ROOT, "docs", "operations.md")) as file:
        page = file.read()
    assert "required feature flag not enabled" in page
