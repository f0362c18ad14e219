"""One broker for the session, one queue for each test."""

import contextlib
import faulthandler
import itertools
import os
import re
import sys
import tempfile

import pika
import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support.broker import take_sigterm_for_ctrl_c  # noqa: E402
from support.postgres import MISSING, Postgres  # noqa: E402
from support.proxy import Proxy  # noqa: E402
from support.services import Service  # noqa: E402
from support.store import outbox_ids  # noqa: E402
from support.tls import TlsBroker  # noqa: E402
from support.wait import SLOWNESS, eventually  # noqa: E402

TEST_SECONDS = 600
# Files with tests that wait for long, or that are a long group: the others run beside them, in place of these alone at the
# end. The longest groups come first.
BEGIN_EARLY = ("postgres_faults", "postgres_partitions", "http_raw", "migrate_store", "shards", "copies_refused", "exchange",
               "faults_broker", "outbox", "overload", "queue_rights", "several_user_services", "suspects")
numbers = itertools.count(1)


def pytest_configure():
    take_sigterm_for_ctrl_c()


def pytest_collection_modifyitems(items):
    early = ["test_%s.py" % name for name in BEGIN_EARLY]
    items.sort(key=lambda item: early.index(item.path.name) if item.path.name in early else len(early))


@pytest.fixture(scope="session")
def broker():
    private = TlsBroker()
    try:
        yield private.start()
    finally:
        private.close()


@pytest.fixture(scope="session")
def postgres():
    if MISSING:
        pytest.skip(MISSING)
    server = Postgres()
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture
def database(postgres):
    one = postgres.database()
    try:
        yield one
    finally:
        one.drop()


@pytest.fixture(scope="session")
def real_stderr(request):
    """What pytest captures is lost where the process ends at once."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        return os.fdopen(os.dup(2), "w")


@pytest.fixture(autouse=True)
def deadline(real_stderr):
    """A test that hangs ends the run with every thread's stack; one that takes longer calls this."""

    def within(seconds):
        faulthandler.dump_traceback_later(seconds * SLOWNESS, exit=True, file=real_stderr)

    within(TEST_SECONDS)
    yield within
    faulthandler.cancel_dump_traceback_later()


class World:
    """A test's queue, services and AMQP client."""

    def __init__(self, broker):
        self.broker = broker
        self.queue = "session%d" % next(numbers)
        self.dead = self.queue + ".dead"
        self.closers = []
        self.connection = None  # of the methods that ask the broker something

    @property
    def url(self):
        return self.broker.url()

    def service(self, name, *arguments, **options):
        if not any(a.startswith("--amqp-url") for a in arguments):
            options["environment"] = dict(options.get("environment") or {}, AMQP_URL=self.url)
        arguments = ("--queue", self.queue) + arguments
        service = Service(name, *arguments, **options)
        self.closers.append(service.close)
        return service.start()

    def user_service(self, *arguments, **options):
        return self.service("user-service", *arguments, **options)

    def patient_user_service(self, *arguments, **options):
        """Its saves are answered with 200 also where the broker or the disk stands still for a while."""
        return self.user_service("--confirm-timeout", "60s", *arguments, **options)

    def session_service(self, *arguments, **options):
        return self.service("session-service", *arguments, **options)

    def channel(self):
        """Of a connection of its own."""
        connection = pika.BlockingConnection(pika.URLParameters(self.broker.url()))
        self.closers.append(lambda: connection.is_open and connection.close())
        return connection.channel()

    def declare(self, queue=None, queue_type="quorum"):
        arguments = {"x-queue-type": queue_type} if queue_type == "quorum" else None
        channel = self.channel()
        channel.queue_declare(queue or self.queue, durable=True, arguments=arguments)
        return channel

    @contextlib.contextmanager
    def one_channel(self):
        """Of the world's own connection, which is made again where it was lost."""
        channel = None
        if self.connection is not None and self.connection.is_open:
            try:
                channel = self.connection.channel()
            except pika.exceptions.AMQPError:
                pass  # the broker has been away since
        if channel is None:
            self.connection = pika.BlockingConnection(pika.URLParameters(self.broker.url() + "?heartbeat=0"))
            channel = self.connection.channel()
        try:
            yield channel
        finally:
            if channel.is_open:
                channel.close()

    def delete(self, *queues):
        with self.one_channel() as channel:
            for queue in queues or [self.queue]:
                channel.queue_delete(queue)

    def purge(self):
        with self.one_channel() as channel:
            channel.queue_purge(self.queue)

    def publish(self, body, queue=None, **properties):
        """Confirmed: a quorum queue may lose what is on its way to it when its channel is closed."""
        with self.one_channel() as channel:
            channel.confirm_delivery()
            channel.basic_publish("", queue or self.queue, body, pika.BasicProperties(**properties))

    def count(self, queue=None):
        """Ready messages, asked of the queue itself."""
        with self.one_channel() as channel:
            return channel.queue_declare(queue or self.queue, passive=True).method.message_count

    def get(self, queue=None):
        """Takes one message: (method, properties, body). Waits also for the queue itself."""

        def take():
            try:
                with self.one_channel() as channel:
                    got = channel.basic_get(queue or self.queue, auto_ack=True)
            except pika.exceptions.ChannelClosedByBroker as error:
                if error.reply_code != 404:
                    raise
                return None
            except pika.exceptions.ConnectionClosedByBroker as error:
                # A quorum queue that is just being declared has no process yet.
                if error.reply_code != 541:
                    raise
                return None
            return got if got[0] is not None else None

        return eventually(take, "a message in " + (queue or self.queue))

    def is_all_acked(self):
        """Whether the quorum queue itself has nothing, neither ready nor delivered."""
        total = "ra:leader_query({'%%2F_%s', node()}, fun rabbit_fifo:query_messages_total/1)" % self.queue
        return re.search(r"},\s*0},", self.broker.evaluate(total)) is not None

    def all_acked(self):
        """Waits for it: what a channel sends on later is forgotten when it is closed before."""
        eventually(self.is_all_acked, "all is acked")

    def is_empty(self):
        """All acked: with no consumer left, nothing comes back."""
        return eventually(lambda: self.count() == 0, self.queue + " is empty")

    def close(self):
        failures = []
        for closer in reversed(self.closers):
            try:
                closer()
            except AssertionError as failure:
                failures.append(failure)
            except pika.exceptions.AMQPError as error:
                print("a client of the test had lost its connection:", repr(error))
        try:
            self.delete(self.queue, self.dead)
            self.connection.close()
        finally:
            for failure in failures:
                raise failure


class Away(World):
    """Its services know the address of a broker that is not there until appear()."""

    def __init__(self, broker):
        super().__init__(broker)
        self.proxy = Proxy(broker.port, is_open=False)
        self.closers.append(self.proxy.close)
        self.state = tempfile.TemporaryDirectory(prefix="outbox-")

    @property
    def url(self):
        return "amqp://guest:guest@127.0.0.1:%d/" % self.proxy.port

    def appear(self):
        self.proxy.open()

    def user_service(self, *arguments, **options):
        return super().user_service("--state-dir", self.state.name, *arguments, **options)

    def stored(self):
        return outbox_ids(self.state.name)

    def close(self):
        try:
            super().close()
        finally:
            self.state.cleanup()


@pytest.fixture
def away(broker):
    one = Away(broker)
    try:
        yield one
    finally:
        one.close()


@pytest.fixture
def world(broker):
    one = World(broker)
    try:
        yield one
    finally:
        one.close()


@pytest.fixture(scope="module")
def shared_world(broker):
    one = World(broker)
    try:
        yield one
    finally:
        one.close()
