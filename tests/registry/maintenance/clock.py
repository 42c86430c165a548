import time


class Clock:
    """A clock that stands still until it is moved; it begins at the time of the store's disk."""

    def __init__(self, now: float | None = None) -> None:
        self.now = time.time() if now is None else now

    def __call__(self) -> float:
        return self.now
