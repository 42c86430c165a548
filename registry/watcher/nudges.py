"""Tells that something has changed in folders, where the system tells it: inotify and its like.

It only says that it is time to look. Each folder is watched by itself: to watch all that lies below
one would follow links, also one that leads to the root of this machine. Where nothing can be
watched (a network's file system, a limit of the system), whoever looks does so now and then.
"""

import asyncio
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import structlog
from watchfiles import watch

_log = structlog.get_logger("registry.watcher")

#: How long changes that follow each other are told as one, in milliseconds.
_DEBOUNCE_MS: Final = 200
#: How soon a change is seen, and that the thread is to end.
_STEP_MS: Final = 100
#: How soon it is told that watching has begun.
_TIMEOUT_MS: Final = 500


class Nudges:
    """Sets an event when something may have changed in folders.

    Args:
        event: Is set.
    """

    #: Whether it was said that this machine can watch nothing more: of all that are there, once.
    _is_said = False

    def __init__(self, event: asyncio.Event) -> None:
        self._event = event
        self._folders: Mapping[str, int] = {}
        self._stop = threading.Event()

    def follow(self, folders: Mapping[str, int]) -> None:
        """Watch these folders from now on, and no others.

        Once they are watched, the event is set: what has changed before is told by nobody.

        Args:
            folders: Their paths and inodes: what is watched is one folder, not one path.
        """
        if folders == self._folders:
            return
        self.close()
        self._folders, self._stop = folders, threading.Event()
        # The others can be watched by no name that the library takes.
        paths = sorted(path for path in folders if path.isprintable())
        if paths:
            loop = asyncio.get_running_loop()
            args = (paths, self._stop, loop)
            threading.Thread(target=self._run, args=args, name="nudges", daemon=True).start()

    def close(self) -> None:
        """Tell nothing any more."""
        self._stop.set()
        self._folders = {}

    def _run(
        self, paths: list[str], stop: threading.Event, loop: asyncio.AbstractEventLoop
    ) -> None:
        changes = watch(
            *paths,
            watch_filter=None,
            debounce=_DEBOUNCE_MS,
            step=_STEP_MS,
            stop_event=stop,
            rust_timeout=_TIMEOUT_MS,
            yield_on_timeout=True,
            raise_interrupt=False,
            force_polling=False,
            recursive=False,
            ignore_permission_denied=True,
        )
        is_first = True
        with suppress(RuntimeError):  # the loop has ended
            try:
                for changed in changes:
                    if stop.is_set():
                        return
                    if changed or is_first:
                        loop.call_soon_threadsafe(self._event.set)
                    is_first = False
            except FileNotFoundError:  # a folder went just now: the next look has others
                loop.call_soon_threadsafe(self._begin_again, stop)
            except OSError as exc:
                self._say(exc)

    def _begin_again(self, stop: threading.Event) -> None:
        if not stop.is_set():
            self.close()
            self._event.set()

    @classmethod
    def _say(cls, exc: OSError) -> None:
        if not cls._is_said:
            cls._is_said = True
            _log.warning(
                "failed to watch a directory, it is looked at now and then: raise"
                " fs.inotify.max_user_watches and fs.inotify.max_user_instances",
                why=str(exc),
            )
