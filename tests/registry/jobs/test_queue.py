"""Messages and the brokers that hand them out; with a real Redis and a real RabbitMQ."""

import dataclasses
from collections.abc import Iterator
from contextlib import closing

import pytest
from celery import Celery
from kombu.exceptions import OperationalError

from conformance.ports import free_port
from conformance.workers.brokers import RabbitServer, RedisServer
from registry.images.fairness import LEVELS
from registry.jobs.queue import TASK, Message, TaskQueue, make_app, queue_of

pytestmark = pytest.mark.anyio

TASK_SECONDS = 1500
MESSAGE = Message("solve", "solve-abc", '{"a": 1}', 0, 12.5)


@pytest.fixture(scope="module", params=["redis", "rabbitmq"])
def broker(request: pytest.FixtureRequest) -> Iterator[RedisServer | RabbitServer]:
    """Return a broker of its own: it is killed."""
    with RedisServer() if request.param == "redis" else RabbitServer() as server:
        yield server


@pytest.fixture
def app(broker: RedisServer | RabbitServer) -> Celery:
    app = make_app(broker.url, task_seconds=TASK_SECONDS)
    with app.connection_for_write() as connection:
        for queue in app.conf.task_queues:
            bound = queue(connection.default_channel)
            bound.declare()
            bound.purge()
    return app


def take(app: Celery, count: int) -> list[Message]:
    """Return the next messages, as a worker gets them."""
    taken = []
    (queue,) = [queue for queue in app.conf.task_queues if queue.name == queue_of("builds")]
    with app.connection_for_read() as connection:
        bound = queue(connection.default_channel)
        for _ in range(count):
            message = bound.get(no_ack=True)
            assert message is not None
            assert message.headers["task"] == TASK
            assert message.content_type == "application/json"
            (content,), _, _ = message.decode()
            taken.append(Message(**content))
    return taken


async def test_a_message_arrives_as_it_was_sent(app: Celery, anyio_backend: str) -> None:
    with closing(TaskQueue(app)) as queue:
        await queue.send(dataclasses.replace(MESSAGE, trace={"traceparent": "00-1"}), "builds")
        assert take(app, 1) == [dataclasses.replace(MESSAGE, trace={"traceparent": "00-1"})]


async def test_the_most_urgent_is_handed_out_first(app: Celery, anyio_backend: str) -> None:
    """Though one broker calls it 0, and the other has its highest number for it."""
    with closing(TaskQueue(app)) as queue:
        for level in (3, 1, 0, 2, 1):
            await queue.send(dataclasses.replace(MESSAGE, level=level), "builds")
        assert [message.level for message in take(app, 5)] == [0, 1, 1, 2, 3]


async def test_what_is_sent_after_a_broker_was_killed_arrives(
    app: Celery, broker: RedisServer | RabbitServer, anyio_backend: str
) -> None:
    """The connection of before is broken, and not used again."""
    with closing(TaskQueue(app)) as queue:
        await queue.send(MESSAGE, "builds")
        broker.kill()
        with pytest.raises(OperationalError):
            await queue.send(MESSAGE, "builds")
        broker.start()
        await queue.send(dataclasses.replace(MESSAGE, task="solve-after"), "builds")
        survived = 1 if isinstance(broker, RabbitServer) else 0
        assert [m.task for m in take(app, 1 + survived)][survived:] == ["solve-after"]


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
async def test_a_broker_that_does_not_answer_is_an_error_of_its_own(
    scheme: str, anyio_backend: str
) -> None:
    app = make_app(f"{scheme}://127.0.0.1:{free_port()}//", task_seconds=TASK_SECONDS)
    with closing(TaskQueue(app)) as queue, pytest.raises(OperationalError):
        await queue.send(MESSAGE, "builds")


def test_a_message_is_a_workers_only_once_its_work_has_ended() -> None:
    conf = make_app("redis://127.0.0.1:1/0", task_seconds=TASK_SECONDS).conf
    assert conf.task_acks_late
    assert conf.task_reject_on_worker_lost
    assert conf.worker_prefetch_multiplier == 1
    # Or running work would be handed out a second time.
    assert conf.broker_transport_options["visibility_timeout"] > TASK_SECONDS


def test_rabbitmq_confirms_and_has_as_many_priorities_as_there_are_levels() -> None:
    conf = make_app("amqp://127.0.0.1:1//", task_seconds=TASK_SECONDS).conf
    assert conf.broker_transport_options["confirm_publish"]
    assert {q.queue_arguments["x-max-priority"] for q in conf.task_queues} == {max(LEVELS)}


def test_messages_are_json_and_nothing_else() -> None:
    conf = make_app("redis://127.0.0.1:1/0", task_seconds=TASK_SECONDS).conf
    assert conf.accept_content == ["json"]
    assert conf.task_serializer == "json"
    # Anybody with the broker could stop workers by it.
    assert not conf.worker_enable_remote_control
