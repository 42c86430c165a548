"""How much work each client may ask for that was not done before.

What is there is answered at any rate. What has to be solved or built takes a token of the address
that asks, or of the account, for which the face asks when the address has none left. Who joins work
that is under way takes none, nor does the server itself for what it renews.
"""

import math
import time
from collections.abc import Callable
from typing import Final

from registry.clients.token_buckets import TokenBuckets
from registry.errors import TooManyNewImages
from registry.images.fairness import current_client


class RateLimit:
    """Limits new work to ``burst`` at once and ``per_minute``, for each client of this process.

    ``burst`` 0 means no limit.
    """

    def __init__(
        self, burst: int, per_minute: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._buckets = TokenBuckets(burst, per_minute, clock) if burst else None

    def spend(self) -> None:
        """Count one piece of work for whoever asks now.

        Raises:
            TooManyNewImages: They have asked for too much; this one is not counted.
        """
        client = current_client.get()
        if self._buckets is None or not client:
            return
        wait = self._buckets.take(client.encode("utf-8", "surrogatepass"))
        if wait:
            seconds = math.ceil(wait)
            raise TooManyNewImages(
                "you have asked for too many images that have to be built first: ask again"
                f" in {seconds} s; those that exist can be pulled at any time",
                seconds,
                client,
            )


#: Of what nobody in particular asks for.
UNBOUNDED: Final = RateLimit(0, 1)
