"""Prometheus metrics, on a registry of their own: nothing is registered by an import."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from builder.ports import Stage
from registry.telemetry.request_counts import RequestCounts

#: From a warm answer to a large build, in seconds.
_SECONDS: Final = (0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 20, 60, 300)


class Metrics:
    """Everything that is counted; implements :class:`builder.ports.BuildMetrics`."""

    #: The Content-Type of :meth:`render`.
    content_type: Final[str] = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._solves = Counter("pullforge_solves", "Runs of the solver.", registry=registry)
        self._solve_seconds = Histogram(
            "pullforge_solve_seconds", "Time of one solve.", buckets=_SECONDS, registry=registry
        )
        self._downloads = Counter(
            "pullforge_downloads", "Package archives fetched from channels.", registry=registry
        )
        self._download_bytes = Counter(
            "pullforge_download_bytes", "Bytes of fetched archives.", registry=registry
        )
        self._assemblies = Counter(
            "pullforge_layer_assemblies", "Layers made from packages.", registry=registry
        )
        self._assembly_bytes = Counter(
            "pullforge_layer_assembly_bytes", "Bytes of their tars.", registry=registry
        )
        self._assembly_seconds = Histogram(
            "pullforge_layer_assembly_seconds",
            "Time to make one layer.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._stage_seconds = Histogram(
            "pullforge_stage_seconds",
            "Time of one stage of a solve or build that was carried out here.",
            ["stage"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._pulls = Counter(
            "pullforge_pulls",
            "Tags answered, by where the answer came from.",
            ["outcome"],
            registry=registry,
        )
        self._tasks = Counter(
            "pullforge_tasks",
            "Tasks carried out here for others, by kind and outcome.",
            ["kind", "outcome"],
            registry=registry,
        )
        self._task_seconds = Histogram(
            "pullforge_task_seconds", "Their time.", ["kind"], buckets=_SECONDS, registry=registry
        )
        self._task_wait_seconds = Histogram(
            "pullforge_task_wait_seconds",
            "How long nobody had begun with them.",
            ["kind"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._queue_length = Gauge(
            "pullforge_queue_length", "Tasks that no worker has begun.", registry=registry
        )
        self._queue_oldest = Gauge(
            "pullforge_queue_oldest_seconds",
            "For how long the oldest of them waits.",
            registry=registry,
        )
        self._audit_lost = Counter(
            "pullforge_audit_events_lost",
            "Events that the audit log lacks, since the database did not answer for too long.",
            ["action"],
            registry=registry,
        )
        self._policy_problems = Gauge(
            "pullforge_policy_problems",
            "Texts of policies and advisories that cannot be used: what they said before holds.",
            ["place"],
            registry=registry,
        )
        self._webhooks_failing = Gauge(
            "pullforge_webhook_failing",
            "Webhooks whose next event was not taken, and is tried again.",
            registry=registry,
        )
        self._webhook_lag = Gauge(
            "pullforge_webhook_lag_seconds",
            "For how long the event waits that waits longest to be taken by a webhook.",
            registry=registry,
        )
        self._source_problems = Gauge(
            "pullforge_source_problems",
            "Sources of environments that cannot be looked at, and files of theirs that cannot be"
            " used.",
            registry=registry,
        )
        self._source_looked = Gauge(
            "pullforge_source_looked_seconds",
            "How long ago the source was looked at that servers have not looked at for longest.",
            registry=registry,
        )
        self._request_counts = RequestCounts(_SECONDS)
        registry.register(self._request_counts)
        # ``labels`` costs more than the counting itself; the outcomes are few.
        self._known_pulls: dict[str, Counter] = {}

    def solved(self, seconds: float) -> None:
        """Count one run of the solver."""
        self._solves.inc()
        self._solve_seconds.observe(seconds)

    def downloaded(self, size_bytes: int) -> None:
        """Count one package archive fetched from a channel."""
        self._downloads.inc()
        self._download_bytes.inc(size_bytes)

    def assembled(self, size_bytes: int, seconds: float) -> None:
        """Count one layer made, with the size of its tar."""
        self._assemblies.inc()
        self._assembly_bytes.inc(size_bytes)
        self._assembly_seconds.observe(seconds)

    def stage_ended(self, stage: Stage, seconds: float) -> None:
        """Count one stage of a solve or build that was carried out here."""
        self._stage_seconds.labels(stage).observe(seconds)

    def task_ended(self, kind: str, wait_seconds: float, seconds: float, *, failed: bool) -> None:
        """Count one task that was carried out here for others."""
        self._tasks.labels(kind, "failed" if failed else "done").inc()
        self._task_seconds.labels(kind).observe(seconds)
        self._task_wait_seconds.labels(kind).observe(wait_seconds)

    def audit_lost(self, action: str, number: int) -> None:
        """Count events of a kind that were never written."""
        self._audit_lost.labels(action).inc(number)

    def queued(self, length: int, oldest_seconds: float) -> None:
        """Tell how many tasks wait for a worker, and for how long the oldest."""
        self._queue_length.set(length)
        self._queue_oldest.set(oldest_seconds)

    def policy_problems(self, place: str, count: int) -> None:
        """Tell how many texts of ``policies``, ``advisories`` or ``database`` cannot be used."""
        self._policy_problems.labels(place).set(count)

    def webhooks(self, failing: int, lag_seconds: float) -> None:
        """Tell how many webhooks fail, and for how long an event waits."""
        self._webhooks_failing.set(failing)
        self._webhook_lag.set(lag_seconds)

    def sources(self, problems: int, looked_seconds: float) -> None:
        """Tell how many sources and files cannot be used, and how late the latest source is."""
        self._source_problems.set(problems)
        self._source_looked.set(looked_seconds)

    def pulled(self, outcome: str) -> None:
        """Count one answer to a tag: ``hit stored stale built waiting`` or ``failed``."""
        counter = self._known_pulls.get(outcome)
        if counter is None:
            counter = self._known_pulls[outcome] = self._pulls.labels(outcome)
        counter.inc()

    def request_started(self) -> None:
        """Count a request as being answered, until :meth:`request_ended`."""
        self._request_counts.started()

    def request_ended(
        self, route: str, method: str, status: int, seconds: float, sent_bytes: int
    ) -> None:
        """Count one answered request.

        Args:
            route: The template, e.g. ``"/v2/{name}/blobs/{digest}"``, which bounds the time series.
            method: One that HTTP knows, or ``"other"``.
            status: 499 when the client went away before the answer.
            seconds: From its start to its end.
            sent_bytes: The size of the body.
        """
        self._request_counts.ended(route, method, status, seconds, sent_bytes)

    def render(self) -> bytes:
        """Return all of it as Prometheus reads it."""
        return generate_latest(self._registry)
