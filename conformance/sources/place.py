"""A server that watches directories, and somebody who changes the files in them."""

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from conformance.accounts import ADMIN, Accounts
from conformance.catalog.person import Person, environment
from conformance.channel import ChannelPaths
from conformance.clients.server import Server

#: Whose environments the directories define.
SPACE: Final = "team"
#: The directory that is meant where none is said; what it no longer has is kept.
FILES: Final = "files"
#: Longer than anything here takes, on a busy machine.
_UNTIL_SECONDS: Final = 60

Found = TypeVar("Found")


class Place:
    """The server and the directories; a context manager."""

    def __init__(
        self,
        paths: ChannelPaths,
        channel_url: str,
        watched: Mapping[str, Mapping[str, object]],
        **settings: object,
    ) -> None:
        """Prepare it.

        Args:
            paths: The base image.
            channel_url: The only channel.
            watched: What the setting says of each directory beside its path, by its name.
            settings: More settings.
        """
        self._paths = paths
        self._channel_url = channel_url
        self._watched = watched
        self._settings = settings
        self._stack = ExitStack()
        self.admin = Person(ADMIN)
        self.home = Path()
        self.server: Server

    def __enter__(self) -> Self:
        """Start the server; the directories are empty."""
        with ExitStack() as stack:
            self.home = Path(tempfile.mkdtemp(prefix="pf-sources-"))
            stack.callback(shutil.rmtree, self.home, ignore_errors=True)
            watch = []
            for name, more in self._watched.items():
                (self.home / name).mkdir()
                here = {"path": str(self.home / name), "name": name}
                watch.append({**here, "namespace": SPACE, **more})
            self.accounts = Accounts(self.home / "auth.toml")
            settings = {
                "auth_file": self.accounts.path,
                "watch": watch,
                "platforms": ["linux-64"],
                "workers": 1,
                **self._settings,
            }
            store = self.home / "store"
            self.server = Server(store, self._channel_url, self._paths.base, settings)
            stack.enter_context(self.server)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it, and remove everything."""
        self._stack.close()

    def path(self, name: str, source: str = FILES) -> Path:
        """Return the file of an environment; its folder is there then."""
        path = self.home / source / name / "environment.yml"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def get(self, path: str) -> Any:
        """Return what the API answers an administrator, or ``None`` if there is no such thing."""
        answer = self.admin.send(self.server, "GET", path)
        assert answer.status_code in {200, 404}, answer.text
        return answer.json() if answer.status_code == 200 else None

    def environment(self, name: str) -> Mapping[str, Any]:
        """Return an environment of :data:`SPACE`; nothing if there is none."""
        found: Mapping[str, Any] | None = self.get(environment(f"{SPACE}/{name}"))
        return found or {}

    def versions(self, name: str) -> list[Mapping[str, Any]]:
        """Return the versions of an environment, the newest first."""
        found = self.get(f"{environment(f'{SPACE}/{name}')}/versions?limit=100")
        return list(found["items"]) if found else []

    def active(self, name: str) -> int | None:
        """Return the number of the version that is active."""
        number: int | None = self.environment(name).get("active")
        return number

    def packages(self, name: str) -> set[str]:
        """Return the packages of the active version, e.g. ``{"click=8.1.8"}``."""
        number = self.active(name)
        found = self.get(f"{environment(f'{SPACE}/{name}')}/versions/{number}/packages?limit=100")
        return {f"{one['name']}={one['version']}" for one in found["items"]}

    def source(self, name: str = FILES) -> Mapping[str, Any]:
        """Return what the server says of a source."""
        found = [one for one in self.get("/sources?limit=100")["items"] if one["name"] == name]
        return found[0] if found else {}

    def told(self, name: str = FILES) -> dict[str, Mapping[str, Any]]:
        """Return what is said of each file of a source that has one."""
        found: dict[str, Mapping[str, Any]] = {}
        after: object = ""
        address = f"/sources/{self.source(name)['id']}/files?limit=100"
        while after is not None:
            page = self.get(f"{address}&after={after}" if after else address)
            found |= {one["path"]: one for one in page["items"]}
            after = page["next"]
        return found

    def problem(self, name: str, source: str = FILES) -> str:
        """Return the sentence of the file of an environment; empty if there is none."""
        told = self.told(source).get(f"{name}/environment.yml", {})
        return str(told.get("problem") or "")

    def until_active(self, name: str, number: int) -> None:
        """Return when a version is active."""
        until(lambda: self.active(name) == number or self._require_none_failed(name))

    def until_text(self, name: str, wanted: str) -> None:
        """Return when the active version was made of a text."""
        until(lambda: self._active_text(name) == wanted or self._require_none_failed(name))

    def until_unmanaged(self, name: str) -> None:
        """Return when no file defines an environment any more."""
        until(lambda: self.environment(name).get("managed") is None)

    def _require_none_failed(self, name: str) -> bool:
        """Return ``False``; a version that failed makes waiting for it pointless."""
        failed = [one for one in self.versions(name) if one["state"] == "failed"]
        assert not failed, failed
        return False

    def _active_text(self, name: str) -> str | None:
        number = self.active(name)
        if number is None:
            return None
        address = f"{environment(f'{SPACE}/{name}')}/versions/{number}/specification"
        return self.admin.send(self.server, "GET", address).text

    def log_end(self) -> str:
        """Return the end of what the server logged."""
        return self.server.log_end()


def until(
    look: Callable[[], Found], seconds: float = _UNTIL_SECONDS, pause_seconds: float = 0.1
) -> Found:
    """Return what a look finds, as soon as it finds something; it is taken again after a pause."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {seconds} s, but {found!r}"
        time.sleep(pause_seconds)
    return found


def text(*packages: str, **variables: str) -> str:
    """Return an ``environment.yml``; other variables make another build of it.

    >>> print(text("click =8.1.8", ROUND="1"), end="")
    channels: [conda-forge]
    dependencies: [click =8.1.8]
    variables: {ROUND: "1"}
    """
    lines = ["channels: [conda-forge]", f"dependencies: [{', '.join(packages)}]"]
    if variables:
        written = ", ".join(f'{name}: "{value}"' for name, value in variables.items())
        lines.append(f"variables: {{{written}}}")
    return "\n".join([*lines, ""])
