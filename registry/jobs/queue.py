"""Celery's application, and how messages are sent.

What was chosen, and why:

* **Acknowledged late.** A message is the worker's only once its work has ended. RabbitMQ hands the
  messages of a worker that is killed to another at once.
* **Visibility timeout** (Redis hands out again what is not acknowledged): longer than any task may
  take, or running work would be handed out a second time. Nobody waits for it: whoever needs a task
  sends it again when its lock has expired (:mod:`registry.jobs.client`).
* **Prefetch 1**: a worker takes one message for each task it can carry out, so that none waits
  behind a long one while another worker is idle.
* **No results in Celery**: outcomes and progress are in Redis under the task's own name, where
  whoever wants the same finds them (:mod:`registry.jobs.state`).
* **Priorities** are the broker's: the levels of :mod:`registry.images.fairness`.
* **JSON only**, compressed.
"""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Final

from celery import Celery
from kombu.entity import Queue
from kombu.exceptions import OperationalError
from pydantic import Field, TypeAdapter

from registry.images.fairness import LEVELS, SCHEDULED
from registry.jobs.types import ROLES, Role

#: The name under which workers have what servers order; what is to do is in the message.
TASK: Final = "pullforge.carry_out"
#: The name under which they have what beat orders: a chore, by its name.
CHORE_TASK: Final = "pullforge.do_chore"
#: What is asked is never longer, in characters: a lock of the largest request, many times over.
MAX_ASKED: Final = 64 * 1024 * 1024
#: How long connecting to the broker and sending may take, in seconds.
_SEND_SECONDS: Final = 5
#: How long Redis may take to answer, in seconds.
ANSWER_SECONDS: Final = 10
#: A Redis that has gone without a word, as one does whose container or node is replaced, is noticed
#: after twice as long, in seconds; it is 25 where nothing is said.
_NOTICE_SECONDS: Final = 5
#: How long a process may take until it can work, in seconds.
_START_SECONDS: Final = 120


@dataclass(frozen=True, slots=True)
class Message:
    """What a worker is told."""

    #: One of :data:`.types.TaskName`; a newer server may send others.
    kind: Annotated[str, Field(max_length=20, pattern="^[a-z]+$")]
    #: The name of the task: equal names are the same work.
    task: Annotated[str, Field(max_length=400, pattern=r"^[A-Za-z0-9._+-]+$")]
    #: What the kind takes, as JSON.
    asked: str
    #: How urgent it is, 0 first.
    level: Annotated[int, Field(ge=LEVELS[0], le=SCHEDULED)]
    #: In Redis's time: an outcome from after it makes the message void.
    sent_at: Annotated[float, Field(allow_inf_nan=False)]
    #: Carries the trace that the work belongs to, as W3C's headers.
    trace: dict[str, str] = field(default_factory=dict)


_MESSAGE: Final = TypeAdapter(Message)
_CHORE: Final = TypeAdapter(
    tuple[
        Annotated[str, Field(max_length=100, pattern=r"^[A-Za-z0-9._+ -]+$")],
        Annotated[float, Field(gt=0, allow_inf_nan=False)],
    ]
)


def read_message(content: object) -> Message:
    """Return the message that whoever reaches the broker has sent; its kind may be unknown.

    Raises:
        ValueError: It is none.
    """
    try:
        message = _MESSAGE.validate_python(content, strict=False)
    except RecursionError as exc:
        raise ValueError("it is nested too deeply") from exc
    if len(message.asked) > MAX_ASKED:
        raise ValueError(f"it asks with {len(message.asked)} characters")
    return message


def read_chore(name: object, every_seconds: object) -> tuple[str, float]:
    """Return a chore's name and after how long it is done again, as beat has sent them.

    Raises:
        ValueError: They are none.
    """
    return _CHORE.validate_python((name, every_seconds))


def make_app(broker_url: str, *, task_seconds: float) -> Celery:
    """Return Celery's application for ``redis://…`` or ``amqp://…``; nothing is connected yet.

    ``task_seconds`` is the most time a task may take.
    """
    app = Celery("pullforge", broker=broker_url, set_as_current=False)
    on_redis = is_redis(broker_url)
    arguments = None if on_redis else {"x-max-priority": LEVELS[-1]}
    app.conf.update(
        accept_content=["json"],
        broker_connection_max_retries=None,
        broker_connection_retry_on_startup=True,
        broker_connection_timeout=_SEND_SECONDS,
        # What RabbitMQ does not confirm may be lost when it is killed.
        broker_transport_options=(
            _redis_options(task_seconds) if on_redis else {"confirm_publish": True}
        ),
        task_acks_late=True,
        task_compression="zstd",
        task_create_missing_queues=False,
        task_ignore_result=True,
        task_queues=[_queue(role, arguments) for role in ROLES],
        task_reject_on_worker_lost=True,
        task_serializer="json",
        # Workers of one machine would share a queue for it, which RabbitMQ refuses.
        worker_enable_remote_control=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        worker_prefetch_multiplier=1,
        # A process of a busy machine is not killed as it starts, again and again.
        worker_proc_alive_timeout=_START_SECONDS,
    )
    return app


def queue_of(role: Role) -> str:
    """Return the name of the queue that workers of a role take from."""
    return f"pullforge.{role}"


def _queue(role: Role, arguments: dict[str, int] | None) -> Queue:
    return Queue(queue_of(role), queue_arguments=arguments)  # type: ignore[no-untyped-call] # as kombu has it


def is_redis(url: str) -> bool:
    """Tell whether an address is one of Redis."""
    return url.startswith(("redis://", "rediss://"))


def _redis_options(task_seconds: float) -> dict[str, Any]:
    return {
        "visibility_timeout": task_seconds + 300,
        "priority_steps": list(LEVELS),
        "queue_order_strategy": "priority",
        "socket_timeout": ANSWER_SECONDS,
        "socket_connect_timeout": _SEND_SECONDS,
        "health_check_interval": _NOTICE_SECONDS,
    }


def priority_of(level: int, *, on_redis: bool) -> int:
    """Return how the broker writes a level: 0 is the most urgent in Redis, the least in RabbitMQ.

    >>> priority_of(0, on_redis=True), priority_of(0, on_redis=False)
    (0, 3)
    """
    return level if on_redis else LEVELS[-1] - level


def schedule(app: Celery, seconds: Mapping[str, float]) -> None:
    """Have beat send chores, each after its ``seconds``, with the lowest priority."""
    priority = priority_of(SCHEDULED, on_redis=is_redis(str(app.conf.broker_url)))
    app.conf.beat_schedule = {
        name: {
            "task": CHORE_TASK,
            "schedule": every,
            "args": (name, every),
            # What no worker has taken until it is due again is forgotten.
            "options": {"queue": queue_of("builds"), "priority": priority, "expires": every},
        }
        for name, every in seconds.items()
    }


class TaskQueue:
    """Sends messages to workers; implements :class:`registry.jobs.client.Sender`."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._on_redis = is_redis(str(app.conf.broker_url))
        # Celery's clients block.
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="send")

    async def send(self, message: Message, role: Role) -> None:
        """Hand a message to the broker.

        Raises:
            kombu.exceptions.OperationalError: The broker cannot be reached.
        """
        await asyncio.get_running_loop().run_in_executor(self._threads, self._send, message, role)

    def close(self) -> None:
        """Close the connections; sent messages are kept."""
        self._threads.shutdown()
        self._app.close()

    def _send(self, message: Message, role: Role) -> None:
        try:
            self._app.send_task(
                TASK,
                (asdict(message),),
                queue=queue_of(role),
                priority=priority_of(message.level, on_redis=self._on_redis),
                retry=False,
            )
        except OSError as exc:  # not all of them are wrapped
            raise OperationalError(str(exc)) from exc
