"""What is in a root now: links that lead to its builds, and whatever is where builds may be.

Only directories are looked into that a template leads through, and no link is followed.
"""

import errno
import os
import posixpath
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from builder.install.prefix.sharing import opened
from registry.prefixes.layout import Layout, Template

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Whoever may write in a directory may close one there, or mount a file system of their own.
_CLOSED: Final = frozenset({errno.EACCES, errno.EPERM, errno.ENOTCONN})
#: By now there is something else.
_ANOTHER: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
#: How links are called that are being made in their directory.
ASIDE: Final = ".pullforge-"


@dataclass(frozen=True, slots=True)
class SeenLink:
    """A link that leads to where builds are."""

    #: As it is written.
    text: str
    #: Relative to the root; there may be nothing.
    prefix: str


@dataclass(slots=True)
class Seen:
    """What is there, by path relative to the root."""

    links: dict[str, SeenLink] = field(default_factory=dict)
    #: Inode of each directory that is where a build may be.
    directories: dict[str, int] = field(default_factory=dict)
    #: Links that somebody was killed over.
    left: list[str] = field(default_factory=list)
    #: Directories that others keep us out of: what is in them nobody knows.
    closed: list[str] = field(default_factory=list)


def look(root: Path, layouts: Sequence[Layout]) -> Seen:
    """Return what is there.

    Raises:
        OSError: The root, or a directory in it, cannot be read.
    """
    seen = Seen()
    ways = [
        (template, template.parts, is_link)
        for layout in layouts
        for template, is_link in (
            (layout.builds, False),
            (layout.link, True),
            (layout.version_link, True),
        )
        if template is not None
    ]
    builds = [layout.builds for layout in layouts]
    with opened(root) as descriptor:
        _Walk(str(root), builds, seen).walk(descriptor, "", ways)
    return seen


#: A template, what is left of its parts, and whether links are there.
_Way = tuple[Template, tuple[re.Pattern[str], ...], bool]


def led_to(root: str, link: str, text: str, builds: Iterable[Template]) -> str | None:
    """Return the path that a link leads to, if builds of a root may be there.

    >>> own = [Template.parse("builds/{key}")]
    >>> led_to("/r", "a/envs/b", "../../builds/" + 32 * "0", own)
    'builds/00000000000000000000000000000000'
    >>> led_to("/r", "a/envs/b", "/etc/passwd", own)

    Args:
        root: Absolute.
        link: The path of the link, relative to the root.
        text: What is written in the link.
        builds: Where builds are.
    """
    if text.startswith("/"):
        if not text.startswith(root.rstrip("/") + "/"):
            return None
        path = posixpath.normpath(text[len(root.rstrip("/")) + 1 :])
    else:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(link), text))
    return path if any(template.matches(path) for template in builds) else None


class _Walk:
    def __init__(self, root: str, builds: Sequence[Template], seen: Seen) -> None:
        self._root = root
        self._builds = builds
        self._seen = seen

    def walk(self, descriptor: int, above: str, ways: Sequence[_Way]) -> None:
        """Look at a directory, and at those in it that a way leads through."""
        inner: list[tuple[str, list[_Way]]] = []
        with os.scandir(descriptor) as entries:
            for entry in entries:
                name = entry.name
                if name.startswith("."):
                    if above and name.startswith(ASIDE) and entry.is_symlink():
                        self._seen.left.append(above + name)
                    continue
                onward = [
                    (template, parts[1:], is_link)
                    for template, parts, is_link in ways
                    if parts[0].fullmatch(name)
                ]
                if entry.is_symlink():
                    if any(is_link and not parts for _, parts, is_link in onward):
                        self._note_link(descriptor, above + name, name)
                elif onward and entry.is_dir(follow_symlinks=False):
                    if any(not is_link and not parts for _, parts, is_link in onward):
                        self._seen.directories[above + name] = entry.inode()
                    further = [way for way in onward if way[1]]
                    if further:
                        inner.append((name, further))
        for name, further in inner:
            if above + name in self._seen.directories:
                continue  # links in an environment are its own
            opened = self._opened(descriptor, name, above + name)
            if opened is None:
                continue
            try:
                self.walk(opened, f"{above}{name}/", further)
            finally:
                os.close(opened)

    def _opened(self, above: int, name: str, path: str) -> int | None:
        """Return a descriptor of a directory, if it is one and can be looked into."""
        try:
            return os.open(name, _DIRECTORY, dir_fd=above)
        except OSError as exc:
            if exc.errno in _CLOSED:
                self._seen.closed.append(path)
            elif exc.errno not in _ANOTHER:
                raise
            return None

    def _note_link(self, descriptor: int, path: str, name: str) -> None:
        try:
            text = os.readlink(name, dir_fd=descriptor)
        except OSError:  # it is gone, or another one, by now
            return
        prefix = led_to(self._root, path, text, self._builds)
        if prefix is not None:
            self._seen.links[path] = SeenLink(text, prefix)
