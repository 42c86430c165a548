"""Links are made, switched and removed: at no moment is one that stays not there."""

import errno
import os
import posixpath
import secrets
from contextlib import suppress

from registry.errors import PrefixUnusable
from registry.prefixes.root import Root
from registry.prefixes.seen import ASIDE, led_to


def text_of(link: str, prefix: str) -> str:
    """Return what is written in a link, both paths being relative to the root.

    >>> text_of("analytics/envs/forecast", "builds/0123")
    '../../builds/0123'
    """
    return posixpath.relpath(prefix, posixpath.dirname(link))


def place_link(root: Root, path: str, prefix: str) -> None:
    """Have a link lead to a prefix, from one moment to the next.

    Raises:
        PrefixUnusable: Something that the root has not made is in the way.
        OSError: It cannot be made; what was there is there.
    """
    name = posixpath.basename(path)
    with root.parent(path, is_ours=False) as directory:
        if not _leads_nowhere(root, directory, path):
            _require_free(root, directory, path)
        aside = root.new_making()
        aside.symlink_to(text_of(path, prefix))
        _own(root, aside)
        try:
            os.rename(aside, name, dst_dir_fd=directory)
        except OSError as exc:
            aside.unlink(missing_ok=True)
            if exc.errno != errno.EXDEV:
                raise
            _place_beside(directory, name, text_of(path, prefix))


def _place_beside(directory: int, name: str, text: str) -> None:
    """Switch a link in a directory that is on another file system than the root."""
    aside = f"{ASIDE}{secrets.token_hex(8)}"
    os.symlink(text, aside, dir_fd=directory)
    try:
        os.rename(aside, name, src_dir_fd=directory, dst_dir_fd=directory)
    except OSError:
        with suppress(OSError):
            os.unlink(aside, dir_fd=directory)
        raise


def remove_link(root: Root, path: str) -> None:
    """Remove a link of ours, and the directories that are empty then.

    Raises:
        PrefixUnusable: It is none of ours any more.
        OSError: It cannot be removed.
    """
    with (
        suppress(FileNotFoundError),
        root.parent(path, is_ours=False, make=False) as directory,
    ):
        _require_free(root, directory, path)
        os.unlink(posixpath.basename(path), dir_fd=directory)
    root.prune(path)


def remove_left(root: Root, path: str) -> None:
    """Remove a link that was being made when somebody was killed."""
    with (
        suppress(OSError, PrefixUnusable),
        root.parent(path, is_ours=False, make=False) as directory,
    ):
        os.unlink(posixpath.basename(path), dir_fd=directory)


def _leads_nowhere(root: Root, directory: int, path: str) -> bool:
    """Tell whether there is a link to something in the root that is not there."""
    name = posixpath.basename(path)
    try:
        text = os.readlink(name, dir_fd=directory)
    except OSError:
        return False
    # Not where it really leads: whoever has directories of the root elsewhere has their reasons.
    place = posixpath.normpath(posixpath.join(f"{root.path}/{posixpath.dirname(path)}", text))
    if not place.startswith(f"{root.path}/"):
        return False
    try:
        os.stat(name, dir_fd=directory)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def _require_free(root: Root, directory: int, path: str) -> None:
    """Refuse to touch what is not a link of ours.

    Raises:
        PrefixUnusable: Something else is there.
    """
    name = posixpath.basename(path)
    try:
        text = os.readlink(name, dir_fd=directory)
    except FileNotFoundError:
        return
    except OSError:
        text = ""
    builds = [layout.builds for layout in root.layouts]
    if led_to(str(root.path), path, text, builds) is None:
        raise PrefixUnusable(
            f"{root.path / path} is in the way: it is not of this root, so move it elsewhere"
        )


def _own(root: Root, aside: os.PathLike[str]) -> None:
    ids = root.options.link_options.ids
    if ids != (-1, -1):
        os.chown(aside, *ids, follow_symlinks=False)
