"""Rights: which verbs on which repositories."""

import re
from dataclasses import dataclass
from typing import Final, Literal, cast, get_args

from registry.auth.wildcards import Wildcards, read_pattern

#: What can be done. ``catalog`` lists all repositories and ``metrics`` tells what is counted;
#: ``build`` and ``pin`` are the API's.
Verb = Literal["pull", "push", "delete", "catalog", "metrics", "build", "pin"]

VERBS: Final[tuple[Verb, ...]] = get_args(Verb)

#: What nobody needs a right for, unless a repository is private: building is what pulling does too.
OPEN_VERBS: Final[frozenset[Verb]] = frozenset({"pull", "build", "metrics"})

#: What is about the registry as a whole.
_WHOLE_VERBS: Final[frozenset[Verb]] = frozenset({"catalog", "metrics"})

#: Everything that is made here, in the place of a repository: what a request makes has no name yet,
#: and could have been asked for by either.
ALL_ENVIRONMENTS: Final = "env/**"
ALL_BUILDS: Final = "build/**"

#: Verbs that take more than one word.
_WORDS: Final = {"push": "push to", "delete": "delete from", "build": "ask for builds of"}

#: What a repository's name is made of, and the wildcard.
_PATTERN: Final = re.compile(r"[a-z0-9._/*-]{1,255}")
_WILDCARD: Final = re.compile(r"(\*+)")


@dataclass(frozen=True, slots=True)
class Need:
    """What a request needs to be allowed."""

    verb: Verb
    #: A name such as ``"team/forecast"``; ``None`` for the registry as a whole.
    repository: str | None

    def __str__(self) -> str:
        """Return the right that would do, as an administrator writes it."""
        return f"{self.repository or '**'}:{self.verb}"

    @property
    def words(self) -> str:
        """What is done, after "may", e.g. ``push to 'team/forecast'``."""
        if self.repository is None:
            return {"catalog": "list all repositories", "metrics": "read the metrics"}[self.verb]
        return f"{_WORDS.get(self.verb, self.verb)} '{self.repository}'"


@dataclass(frozen=True, slots=True)
class Pattern:
    """Stands for repositories: ``*`` for characters of one component, ``**`` for any.

    >>> pattern = parse_pattern("team/*")
    >>> pattern.matches("team/forecast"), pattern.matches("team/forecast/old")
    (True, False)
    >>> parse_pattern("team/**").matches("team/forecast/old")
    True
    """

    text: str
    _wildcards: Wildcards

    def matches(self, repository: str | None) -> bool:
        """Tell whether it stands for a repository; for the registry as a whole only ``**`` does."""
        if repository is None:
            return self.text == "**"
        return self._wildcards.matches(repository)


@dataclass(frozen=True, slots=True)
class Right:
    """Some verbs on some repositories."""

    pattern: Pattern
    verbs: frozenset[Verb]

    def covers(self, need: Need) -> bool:
        """Tell whether it allows what is needed."""
        return need.verb in self.verbs and self.pattern.matches(need.repository)

    def __str__(self) -> str:
        """Return it as it is written, its verbs in their usual order."""
        verbs = [verb for verb in VERBS if verb in self.verbs]
        return f"{self.pattern.text}:{'*' if len(verbs) == len(VERBS) else ','.join(verbs)}"


def parse_pattern(text: str) -> Pattern:
    """Return the pattern that ``text`` is.

    Raises:
        ValueError: It could stand for no repository.
    """
    parts = _WILDCARD.split(text)
    if not _PATTERN.fullmatch(text) or any(len(part) > 2 for part in parts[1::2]):
        raise ValueError(
            f"{text!r} is no pattern of repositories: write a name,"
            " with '*' for part of a component or '**' for anything"
        )
    return Pattern(text, read_pattern(text))


def parse_right(text: str) -> Right:
    """Return the right that ``text`` is, e.g. ``"team/*:pull,push"``; ``*`` means all verbs.

    >>> str(parse_right("team/**:push,pull"))
    'team/**:pull,push'

    Raises:
        ValueError: It is not written so.
    """
    pattern, colon, words = text.partition(":")
    verbs = frozenset(VERBS if words == "*" else words.split(","))
    if not colon or not verbs <= frozenset(VERBS):
        raise ValueError(
            f"{text!r} is no right: write PATTERN:VERBS, for example 'team/*:pull,push';"
            f" the verbs are {', '.join(VERBS)}, or '*' for all"
        )
    for verb in sorted(verbs & _WHOLE_VERBS):
        if words != "*" and pattern != "**":
            raise ValueError(
                f"{text!r} gives no right to the {verb}, which is of all repositories:"
                f" write '**:{verb}'"
            )
    return Right(parse_pattern(pattern), cast("frozenset[Verb]", verbs))
