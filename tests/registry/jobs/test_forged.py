"""Messages of whoever reaches the broker, and outcomes of whoever reaches Redis."""

import json
import pickle
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest
from celery.contrib.testing.worker import start_worker
from kombu import compression
from pydantic import ValidationError
from redis import Redis as BlockingRedis
from redis.asyncio import Redis

from builder.errors import BuilderError, ChannelNotAllowed, WorkerLost
from builder.ports import Progress, ProgressListener
from builder.spec import Channel
from conformance.workers.brokers import RedisServer
from registry.images.failure import Failure
from registry.jobs.queue import (
    CHORE_TASK,
    MAX_ASKED,
    TASK,
    Message,
    make_app,
    queue_of,
    read_chore,
    read_message,
)
from registry.jobs.runner import TaskHandler
from registry.jobs.state import TaskState
from registry.jobs.types import BUILD, FORM, LAYER, SOLVE, TaskType
from registry.worker import handlers, role
from registry.worker.strategy import MAX_BYTES, bound_messages
from tests.builder.test_spec import SPEC
from tests.registry.jobs.queue_harness import DOUBLE, carrier_of, message_of, open_office
from tests.registry.test_earlier_messages import MESSAGES

pytestmark = pytest.mark.anyio

GOOD: dict[str, Any] = asdict(message_of(21, 12.5))
FORGED: list[object] = [
    None,
    [],
    "text",
    {},
    GOOD | {"kind": ["solve"]},
    GOOD | {"kind": "../solve"},
    GOOD | {"task": "a:b"},
    GOOD | {"task": "../../etc/passwd"},
    GOOD | {"task": "x" * 10_000},
    GOOD | {"task": "line\nbreak"},
    GOOD | {"asked": {"lock": 1}},
    GOOD | {"level": 99},
    GOOD | {"level": "high"},
    GOOD | {"level": -1},
    GOOD | {"sent_at": "nan"},
    GOOD | {"sent_at": float("inf")},
    GOOD | {"trace": ["traceparent"]},
    GOOD | {"trace": {"traceparent": {}}},
]


@pytest.mark.parametrize("content", FORGED, ids=lambda content: str(content)[:60])
def test_what_is_no_message_is_refused(content: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (by pydantic, with words of its own)
        read_message(content)


def test_a_message_is_bounded_and_what_servers_send_is_read() -> None:
    assert read_message(GOOD) == Message(**GOOD)
    with pytest.raises(ValueError, match="characters"):
        read_message(GOOD | {"asked": "x" * (MAX_ASKED + 1)})


@pytest.mark.parametrize(
    ("name", "every"), [(None, 1), ("a:b", 1), ("gc", 0), ("gc", "soon"), ("x" * 1000, 1)]
)
def test_what_is_no_chore_is_refused(name: object, every: object) -> None:
    with pytest.raises(ValidationError):
        read_chore(name, every)


@pytest.mark.parametrize("kind", [SOLVE, BUILD, FORM, LAYER], ids=lambda kind: kind.name)
async def test_a_message_under_the_name_of_another_task_is_not_carried_out(
    kind: TaskType[Any, Any], anyio_backend: str
) -> None:
    """Its outcome would be taken for what the name stands for."""
    asked = json.dumps(MESSAGES[kind.name]["asked"])
    begun: list[object] = []

    async def work(order: object, _on_progress: ProgressListener) -> object:
        begun.append(order)
        return kind.made.validate_json(json.dumps(MESSAGES[kind.name]["made"]))

    handler = TaskHandler(kind, work)
    true = kind.task_of(kind.asked.validate_json(asked))
    await handler.carry_out(Message(kind.name, true, asked, 0, 0), _ignore)
    assert len(begun) == 1
    for task, content in [
        (f"{true}0", asked),
        (f"{kind.name}-{'0' * 64}", asked),
        (true, "{}"),
        (true, "not json"),
        (true, "[" * 100_000),
        (true, '{"__class__": "os.system"}'),
    ]:
        with pytest.raises(WorkerLost, match="same version"):
            await handler.carry_out(Message(kind.name, task, content, 0, 0), _ignore)
    assert len(begun) == 1


async def test_workers_solve_with_channels_of_their_settings_alone(anyio_backend: str) -> None:
    made: list[object] = []

    class Executor:
        async def solve(self, spec: object, *_: object, **__: object) -> object:
            made.append(spec)
            raise BuilderError("solved")

        complete = solve

    allowed = {channel.url for channel in SPEC.channels}
    executor: Any = Executor()
    records: Any = None
    elsewhere = {Channel("main", "http://169.254.169.254/latest").url}
    for urls, error in ((elsewhere, ChannelNotAllowed), (allowed, BuilderError)):
        solve = next(
            handler
            for handler in handlers._builds(executor, records, urls)
            if handler.name == "solve"
        )
        asked = SOLVE.asked.dump_json(SPEC).decode()
        with pytest.raises(error):
            await solve.carry_out(Message("solve", SOLVE.task_of(SPEC), asked, 0, 0), _ignore)
    assert made == [SPEC]


@pytest.mark.parametrize("kind", ["Sequence", "__doc__", "annotations", "os", "Nothing", ""])
def test_a_failure_of_a_kind_that_there_is_not_is_a_failure(kind: str) -> None:
    error = Failure(kind, "a sentence").error()
    assert type(error) is BuilderError
    assert error.message == "a sentence"


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b"text",
        b"[]",
        b"{}",
        pickle.dumps(print),
        b"[" * 100_000,
        b'{"at": "never", "made": 1, "failure": null, "progress": []}',
        b'{"at": 1e999, "made": {}, "failure": 5, "progress": 7}',
        b"\xff\xfe",
    ],
)
async def test_what_redis_has_that_nobody_wrote_is_as_if_it_were_not_there(
    redis: Redis, task_state: TaskState, written: bytes
) -> None:
    task = "chore-x"
    for name in ("ended", "progress", "asked"):
        await redis.set(f"pullforge:{name}:{task}", written)
    snapshot = await task_state.snapshot(task)
    assert (snapshot.outcome, snapshot.progress, snapshot.asked) == (None, (), None)
    async with open_office(redis) as office, office.worker():
        assert await office.run(21) == 42


async def test_an_outcome_of_another_shape_is_told_in_a_sentence(redis: Redis) -> None:
    async with open_office(redis) as office:
        now = await office.task_state.now()
        await office.task_state.end("chore-x", '{"not": "a number"}', None)
        with pytest.raises(WorkerLost, match="cannot be read"):
            await office.run(21, max_age=now)


async def test_a_message_that_lies_ends_its_task_and_the_next_is_carried_out(
    task_state: TaskState,
) -> None:
    carrier = carrier_of(task_state)
    lie = Message(DOUBLE.name, "chore-x", '["y", 1]', 0, await task_state.now())
    await carrier.handle(lie)
    outcome = (await task_state.snapshot("chore-x")).outcome
    assert outcome is not None
    assert outcome.failure is not None
    assert outcome.failure.transient
    await carrier.handle(message_of(21, await task_state.now()))
    outcome = (await task_state.snapshot("chore-x")).outcome
    assert outcome is not None
    assert outcome.made == "42"


def test_a_message_that_is_huge_when_it_is_unpacked_is_refused() -> None:
    packing: Any = compression  # has no types
    bombs = {name: packing.get_encoder(name)[0](bytes(MAX_BYTES + 1)) for name in ("zstd", "gzip")}
    small = packing.get_encoder("zstd")[0](b"small")
    before = dict(compression._decoders)
    try:
        bound_messages()
        assert packing.decompress(small, "application/zstd") == b"small"
        for name, kind in [("zstd", "application/zstd"), ("gzip", "application/x-gzip")]:
            with pytest.raises(ValueError, match=r"larger than|in this way"):
                packing.decompress(bombs[name], kind)
    finally:
        compression._decoders.update(before)


class Taken:
    """A bench that only notes what it is given."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def handle(self, message: Message) -> None:
        self.messages.append(message)

    def do_chore(self, name: str, every_seconds: float) -> None:
        raise AssertionError(name)


@pytest.fixture
def broker(redis_server: RedisServer) -> Iterator[BlockingRedis]:
    with BlockingRedis.from_url(redis_server.url) as broker:
        broker.flushall()
        yield broker


def test_a_worker_lives_through_whatever_is_sent_and_unpickles_nothing(
    broker: BlockingRedis, redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A real worker of Celery; each is handed over once, and the good one after them is taken."""
    app = make_app(redis_server.url, task_seconds=60)
    taken: Any = Taken()
    role._define(app, taken)
    assert app.conf.worker_enable_remote_control is False
    mark = tmp_path_factory.mktemp("pickled") / "mark"
    queue = queue_of("builds")

    class Bomb:
        def __reduce__(self) -> Any:
            return mark.touch, ()

    for content in FORGED:
        if content != GOOD | {"sent_at": float("inf")}:
            app.send_task(TASK, (content,), queue=queue)
    app.send_task(TASK, (), queue=queue)
    app.send_task(TASK, (GOOD, GOOD), {"more": 1}, queue=queue)
    app.send_task(CHORE_TASK, ({"a": 1}, []), queue=queue)
    app.send_task("celery.backend_cleanup", (), queue=queue)
    app.send_task("os.system", ("true",), queue=queue)
    with app.connection_for_write() as connection:
        producer = connection.Producer()
        headers = {"task": TASK, "id": "1", "lang": "py"}
        for body, kind, encoding in [
            (pickle.dumps(((Bomb(),), {}, {})), "application/x-python-serialize", "binary"),
            (b"{", "application/json", "utf-8"),
            (b"\xff\xff", "application/json", "utf-8"),
            (b'{"a": 1}', "application/json", "utf-8"),
        ]:
            producer.publish(
                body, routing_key=queue, content_type=kind, content_encoding=encoding,
                headers=headers,
            )  # fmt: skip
    last = read_message(GOOD | {"task": "chore-last"})
    app.send_task(TASK, (asdict(last),), queue=queue)
    with start_worker(
        app, pool="solo", perform_ping_check=False, queues=[queue], shutdown_timeout=30
    ):
        _wait_until(lambda: last in taken.messages)
    assert not mark.exists()
    assert [message.task for message in taken.messages].count("chore-last") == 1


def _wait_until(is_so: Any) -> None:
    import time  # noqa: PLC0415

    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _ignore(_: Progress) -> None: ...
