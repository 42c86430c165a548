"""A question that takes what there is; alone here, as a small process has to import it."""

import threading

from builder.solve.repodata import Repodata


async def start_threads(_repodata: Repodata) -> None:
    """Start threads as long as there is memory for their stacks, and end them."""
    ended, started = threading.Event(), list[threading.Thread]()
    try:
        while True:
            thread = threading.Thread(target=ended.wait, daemon=True)
            thread.start()
            started.append(thread)
    finally:
        ended.set()
        for thread in started:
            thread.join()
