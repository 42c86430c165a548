"""Variants of a lock: the same packages in another image, which has a lock and a key of its own.

``build/<key>:bare`` is without the base, ``build/<key>:user1000`` runs as that user. Nothing is
solved for them: the base and the user are all of a lock that its packages do not depend on.
"""

import re
from dataclasses import dataclass, replace
from typing import Final

from builder.image_name.tag import split_tag
from builder.lock import Lock
from builder.spec import parse_user
from registry.content.names import TagName
from registry.errors import ManifestUnknown

#: The tag of a locked build as it is.
BUILD_TAG: Final = TagName("latest")

_USER: Final = re.compile(r"user([0-9]+)")


@dataclass(frozen=True, slots=True)
class Variant:
    """What an image has otherwise than its lock says."""

    #: Whether it is without a base.
    bare: bool = False
    #: Who runs in it, e.g. ``"1000:1000"``; ``""`` for whom the lock says.
    user: str = ""

    @property
    def tag(self) -> TagName:
        """The tag below ``build/<key>`` that stands for it.

        >>> Variant().tag, Variant(bare=True, user="1000:1000").tag
        ('latest', 'bare-user1000')
        """
        parts = ["bare"] if self.bare else []
        if self.user:
            parts.append(f"user{self.user.partition(':')[0]}")
        return TagName("-".join(parts)) or BUILD_TAG

    def of(self, lock: Lock) -> Lock:
        """Return the lock of the variant: ``lock`` itself where it says the same."""
        base = None if self.bare else lock.base
        return replace(lock, base=base, user=self.user or lock.user)

    def plus(self, part: str) -> "Variant | None":
        """Return the variant with a part of a tag added; ``None`` if it says nothing of variants.

        Raises:
            ValueError: It is said twice, or the user is none; a sentence without an end.
        """
        if part == "bare":
            if self.bare:
                raise ValueError("'bare' is said twice")
            return replace(self, bare=True)
        match = _USER.fullmatch(part)
        if match is None:
            return None
        if self.user:
            raise ValueError(f"'{part[:60]}' is the second user")
        return replace(self, user=parse_user(match[1]))


def parse_build_tag(repository: str, tag: TagName) -> Variant:
    """Return which variant a tag below ``build/<key>`` stands for.

    Raises:
        ManifestUnknown: None.
    """
    variant: Variant | None = Variant()
    problem = ""
    if tag != BUILD_TAG:
        for part in split_tag(tag):
            try:
                variant = variant.plus(part) if variant is not None else None
            except ValueError as exc:
                variant, problem = None, f": {exc}"
    if variant is None:
        raise ManifestUnknown(
            f"'{repository}' is one locked build and has no tag '{tag}'{problem}: its tags are"
            f" '{BUILD_TAG}', and 'bare' and 'user1000' alone or joined by '-'"
        )
    return variant
