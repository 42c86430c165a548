"""What namespaces may have, what they keep, and what is counted of them."""

from collections.abc import Sequence
from typing import Final

from registry.catalog.blobs import fill_blobs
from registry.catalog.limits import Limits
from registry.catalog.measuring import Measuring
from registry.catalog.pull_writer import write_pulls
from registry.catalog.retention import Retentions
from registry.catalog.sizes import BlobsOf
from registry.catalog.unneeded import Keeping
from registry.catalog.usage import UsageReports
from registry.database import Database
from registry.maintenance.periodic import PeriodicJob
from registry.settings import Settings
from registry.sources.pulls import PullCounts

#: How often pulls are written down, and what has changed is measured, in seconds.
_COUNT_SECONDS: Final = 60
#: How often everything is measured, and files go that nobody needs, in seconds.
_HOUR_SECONDS: Final = 3600


def limits_of(settings: Settings) -> Limits:
    """Return what namespaces may have for which nothing else is set."""
    return Limits(
        settings.quota_bytes,
        settings.quota_environments,
        settings.quota_builds_a_day,
        settings.quota_builds_at_once,
    )


def keeping_of(settings: Settings) -> Keeping:
    """Return what namespaces keep for which nothing else is set."""
    return Keeping(settings.retention_days, settings.retention_keep)


def limit_jobs(
    database: Database,
    pulls: PullCounts,
    blobs_of: BlobsOf,
    reports: UsageReports,
    retentions: Retentions,
) -> Sequence[PeriodicJob]:
    """Return what is done unasked: counting, measuring, and freeing.

    Args:
        database: Where it is written down.
        pulls: What was counted.
        blobs_of: What the image of a build consists of.
        reports: Forget what is old.
        retentions: Free what is not needed.
    """
    measuring = Measuring(database)

    async def count() -> None:
        await write_pulls(database, pulls)
        await measuring.changed()

    async def measure() -> None:
        await fill_blobs(database, blobs_of)
        await measuring.all()
        await reports.forget_old()

    async def free() -> None:
        await retentions.free_all()

    return [
        PeriodicJob("usage", _COUNT_SECONDS, count),
        PeriodicJob("measure", _HOUR_SECONDS, measure),
        PeriodicJob("retention", _HOUR_SECONDS, free),
    ]
