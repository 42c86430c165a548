"""Metrics that tests can count with."""


class CountingMetrics:
    """Implements the metrics ports of the builder and of pulls by counting."""

    def __init__(self) -> None:
        self.solves = 0
        self.downloads = 0
        self.assemblies = 0
        self.outcomes: list[str] = []

    def solved(self, seconds: float) -> None:
        self.solves += 1

    def downloaded(self, size_bytes: int) -> None:
        self.downloads += 1

    def assembled(self, size_bytes: int, seconds: float) -> None:
        self.assemblies += 1

    def pulled(self, outcome: str) -> None:
        self.outcomes.append(outcome)
