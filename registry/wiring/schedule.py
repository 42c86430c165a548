"""What is done again and again."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict

import structlog

from builder.ports import Store
from registry.maintenance.collect import collect_all
from registry.maintenance.eviction import Budget
from registry.maintenance.periodic import PeriodicJob
from registry.maintenance.renewal import Renewal
from registry.maintenance.scrub import Scrub
from registry.settings import Settings
from registry.sources.built import BuiltSource


def chore_seconds(settings: Settings) -> dict[str, float]:
    """Return which chores there are, and after how many seconds each is done again."""
    found: dict[str, float] = {"collect": 3600}
    if settings.renew_hours:
        found["renew"] = settings.latest_ttl_seconds / 4
    if settings.prewarm:
        found["prewarm"] = settings.latest_ttl_seconds / 4
    if settings.scrub_days is not None:
        found["scrub"] = settings.scrub_days * 86_400 / 256
    return found


def chores_of(
    settings: Settings, store: Store, source: BuiltSource, now: Callable[[], float]
) -> Sequence[PeriodicJob]:
    """Return the chores that the settings ask for."""
    renewal = Renewal(store, source, now)
    budget = Budget.of(settings.cache_bytes, settings.cache_days)
    seconds = chore_seconds(settings)

    async def scrub() -> None:
        report = await Scrub(store, delete=True, threads=1, on_progress=lambda _: None).run_share(
            int(now() / seconds["scrub"]) % 256
        )
        for found in report.findings:
            structlog.get_logger().warning("found damage", **asdict(found))

    work: dict[str, Callable[[], Awaitable[None]]] = {
        "collect": lambda: collect_all(
            store, budget, now(), upload_seconds=settings.upload_seconds
        ),
        # An answer expires within the next two rounds, or there is time until the round after.
        "renew": lambda: renewal.renew(
            within_seconds=settings.latest_ttl_seconds / 2,
            used_seconds=settings.renew_hours * 3600,
        ),
        "prewarm": lambda: renewal.prewarm(settings.prewarm),
        "scrub": scrub,
    }
    return [PeriodicJob(name, every, work[name]) for name, every in seconds.items()]
