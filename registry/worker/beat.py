"""Celery's beat, which sends periodic jobs."""

from registry.jobs.queue import make_app, schedule
from registry.settings import Settings
from registry.wiring.schedule import chore_seconds


def run_beat(settings: Settings) -> None:
    """Send periodic jobs until SIGTERM; several of these processes do no harm."""
    app = make_app(settings.broker_url, task_seconds=settings.task_seconds)
    schedule(app, chore_seconds(settings))
    # In memory: what is due is decided by the workers, who know when it was done last.
    app.Beat(scheduler="celery.beat:Scheduler", quiet=True).run()
