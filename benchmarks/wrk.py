"""wrk, which asks an address as often as it is answered."""

import re
from collections.abc import Sequence
from typing import Final

from conformance.clients.engines.program import run

_REQUESTS: Final = re.compile(r"^Requests/sec:\s+([0-9.]+)$", re.MULTILINE)
_P99: Final = re.compile(r"^\s+99%\s+([0-9.]+)(us|ms|s)\s*$", re.MULTILINE)
_MS: Final = {"us": 0.001, "ms": 1.0, "s": 1000.0}


class Wrk:
    """Asks one address with GET; remembers the 99th percentile of the last time."""

    def __init__(
        self, url: str, seconds: int, headers: Sequence[str] = (), connections: int = 32
    ) -> None:
        """Prepare it.

        Args:
            url: What is asked for.
            seconds: How long.
            headers: Whole lines, as they are sent.
            connections: How many requests are under way at once.
        """
        lines = [f"-H{line}" for line in headers]
        # Only what takes longer than any server may is an error.
        options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout=60s", "--latency"]
        self._argv = ["wrk", *options, *lines, url]
        self.p99_ms = 0.0

    def rate(self) -> float:
        """Return the answers in a second; all of them are good ones."""
        outcome = run(self._argv)
        answers, p99 = _REQUESTS.search(outcome.stdout), _P99.search(outcome.stdout)
        assert answers, outcome.output
        assert p99, outcome.output
        assert "Non-2xx" not in outcome.stdout, outcome.output
        self.p99_ms = float(p99[1]) * _MS[p99[2]]
        return float(answers[1])
