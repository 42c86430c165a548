"""Celery's worker for one role."""

import os
import resource
import warnings
from typing import Final

import structlog
from celery import Celery, signals
from celery.exceptions import SecurityWarning

from registry.jobs.queue import (
    CHORE_TASK,
    TASK,
    make_app,
    queue_of,
    read_chore,
    read_message,
)
from registry.jobs.types import Role
from registry.settings import Settings
from registry.worker.handlers import open_runner
from registry.worker.loop_thread import EventLoopThread
from registry.worker.strategy import bound_messages

_log = structlog.get_logger("registry.worker")

#: Refuses what Celery cannot unpack.
_STRATEGY: Final = "registry.worker.strategy:guarded"
#: How many builds one worker has under way: they wait for channels and layers most of the time.
_BUILDS: Final = 32
#: After how many layers a process is replaced.
_LAYERS_PER_PROCESS: Final = 500
#: How much longer than a task a process may take until it is killed, in seconds: the task itself
#: tells in a sentence that its time is over, if it can.
_GRACE_SECONDS: Final = 30


def run_role(settings: Settings, role: Role) -> int:
    """Run one role until SIGTERM, then end the tasks under way; return its exit code."""
    app = make_app(settings.broker_url, task_seconds=settings.task_seconds)
    loop_thread = EventLoopThread(lambda: open_runner(settings, role))
    _define(app, loop_thread)
    bound_messages()
    # What it says of the superuser is for those who let messages carry code.
    warnings.simplefilter("ignore", SecurityWarning)
    # Logs are ours, and configured already.
    signals.setup_logging.connect(_leave_logs, weak=False)
    if role == "layers":
        return _run_processes(app, settings, loop_thread)
    loop_thread.open()
    try:
        return _run(app, role, pool="threads", concurrency=_BUILDS)
    finally:
        loop_thread.close()


def _define(app: Celery, loop_thread: EventLoopThread) -> None:
    @app.task(name=TASK, shared=False, Strategy=_STRATEGY)  # type: ignore[untyped-decorator] # Celery has no types
    def carry_out(message: object = None, *_: object, **__: object) -> None:
        try:
            read = read_message(message)
        except ValueError as exc:  # not again: whoever waits for a task sends it again
            _log.error("dropped what is no message", error=str(exc)[:300])
            return
        loop_thread.handle(read)

    @app.task(name=CHORE_TASK, shared=False, Strategy=_STRATEGY)  # type: ignore[untyped-decorator] # as above
    def do_chore(name: object = None, every_seconds: object = None, *_: object) -> None:
        try:
            read = read_chore(name, every_seconds)
        except ValueError as exc:
            _log.error("dropped what is no chore", error=str(exc)[:300])
            return
        loop_thread.do_chore(*read)


def _run_processes(app: Celery, settings: Settings, loop_thread: EventLoopThread) -> int:
    limit = settings.task_memory_bytes

    def begin(**_: object) -> None:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        loop_thread.open()

    signals.worker_process_init.connect(begin, weak=False)
    signals.worker_process_shutdown.connect(lambda **_: loop_thread.close(), weak=False)
    return _run(
        app,
        "layers",
        pool="prefork",
        concurrency=settings.workers or os.cpu_count() or 1,
        time_limit=settings.task_seconds + _GRACE_SECONDS,
        max_tasks_per_child=_LAYERS_PER_PROCESS,
        # In KiB, looked at between tasks.
        max_memory_per_child=limit // 2 // 1024,
        optimization="fair",
    )


def _run(app: Celery, role: Role, **options: object) -> int:
    worker = app.Worker(
        hostname=f"{role}@%h",
        queues=[queue_of(role)],
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
        **options,
    )
    worker.start()
    return int(worker.exitcode or 0)


def _leave_logs(**_: object) -> None:
    """Keep Celery from configuring logs."""
