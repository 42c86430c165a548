"""rattler's exceptions as ours.

Its forty exceptions have no common base below :class:`Exception`, so each is listed; a test
compares the list with what rattler exports.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

from rattler import exceptions as rattler_errors

from builder.errors import ChannelUnavailable, NoChannel, SolveError, SolveTimeout, Unsatisfiable
from builder.fetch.channel_credentials import SETTING, ChannelCredentials
from builder.network.forwarding import cause_of
from builder.network.index_limits import FILE_SETTING
from builder.spec import Channel

#: Makes our error of rattler's message.
_Maker = Callable[[str, Sequence[Channel], ChannelCredentials], SolveError]

_CANCELLED: Final = "has been cancelled"
_STATUS = re.compile(r"\((\d{3} [A-Za-z' -]+)\)")
#: A server that tells nobody, or not this one; over a bucket, it says so of what is missing, too.
_REFUSED = re.compile(r"\(((?:401|403) [A-Za-z' -]+)\)(?:[^\n]*/(noarch|[a-z]+-[a-z0-9]+)/)?")
_MISSING = re.compile(r"could not find subdir '([a-z0-9-]+)'")
_CAUSES: Final = (
    ("os error 27)", f"an index of it is larger than {FILE_SETTING} allows"),
    ("Connection refused", "connection refused"),
    ("dns error", "its host is not found"),
    ("timed out", "it does not answer in time"),
    ("certificate", "its certificate is not accepted"),
    ("invalid peer", "its certificate is not accepted"),
    ("decode", "its repodata is damaged"),
    ("parse", "its repodata is damaged"),
)


class UnsolvableTree(Unsatisfiable):
    """Nothing fits, in the solver's own words: for :mod:`builder.solve.explain`."""


_NO_CREDENTIALS: Final = ChannelCredentials()


def channel_unavailable(
    message: str,
    channels: Sequence[Channel],
    credentials: ChannelCredentials = _NO_CREDENTIALS,
) -> ChannelUnavailable:
    """Return the error that names the channel whose address ``message`` mentions.

    >>> channels = [Channel("main", "http://10.0.0.1/main"), Channel("bio", "http://10.0.0.1/bio")]
    >>> str(channel_unavailable("HTTP status (503 Service Unavailable) http://10.0.0.1/bio/noarch",
    ...                         channels))
    "channel 'bio' cannot be used: it answers 503 Service Unavailable"
    """
    named = [c for c in channels if f"{_bare(c.url)}/" in _bare(message)]
    # One channel may lie below another, as labels of anaconda.org do: the outer one is innocent.
    longest = max((len(_bare(c.url)) for c in named), default=0)
    concerned = [c for c in named if len(_bare(c.url)) == longest] or list(channels)
    names = " and ".join(channel.told for channel in concerned)
    if not named and len(concerned) > 1:
        # A timeout, or the host that a channel sends to: some of these are innocent.
        return ChannelUnavailable(f"one of the channels {names} cannot be used: {_cause(message)}")
    missing = _MISSING.search(message)
    if missing:
        return NoChannel(
            f"channel {names} cannot be used: there is no {missing[1]}/ at its address, which every"
            f" channel has: correct the address, or make {missing[1]}/repodata.json, even if empty"
        )
    refused = _REFUSED.search(message)
    if refused and concerned:
        if all(credentials.knows(urlsplit(channel.url).hostname or "") for channel in concerned):
            return NoChannel(
                f"channel {names} refuses the credentials that {SETTING} has for its host"
                f" ({refused[1]}): correct them, or the channel's address"
            )
        place = f"{refused[2]}/" if refused[2] else "its index"
        return NoChannel(
            f"channel {names} cannot be used: it answers {refused[1]} for {place}, which is not"
            " there or is private: correct the address, or give credentials for its host in"
            f" {SETTING}"
        )
    return ChannelUnavailable(
        f"channel {names or 'of unknown name'} cannot be used: {_cause(message)}"
    )


def _cause(message: str) -> str:
    cause = cause_of(message)
    if cause is not None:
        return cause
    status = _STATUS.search(message)
    if status and not status[1].startswith("404"):
        return f"it answers {status[1]}"
    return next((words for sign, words in _CAUSES if sign in message), "it cannot be read")


def _solver_error(message: str, *_: object) -> SolveError:
    if _CANCELLED in message:
        return SolveTimeout("the solver did not finish in time: ask for fewer or exact versions")
    return UnsolvableTree(message)


def _bad_requirement(message: str, *_: object) -> SolveError:
    return Unsatisfiable(f"a requirement cannot be understood by the solver: {message}")


def _unforeseen(message: str, *_: object) -> SolveError:
    return SolveError(f"the solver failed: {' '.join(message.split())[:200]}")


#: What becomes of each exception that rattler exports.
FAILURES: Final[Mapping[type[BaseException], _Maker]] = {
    rattler_errors.SolverError: _solver_error,
    # A requirement that our grammar let through, and rattler does not.
    rattler_errors.CanonicalMatchSpecError: _bad_requirement,
    rattler_errors.InvalidMatchSpecError: _bad_requirement,
    rattler_errors.InvalidPackageNameError: _bad_requirement,
    rattler_errors.InvalidVersionError: _bad_requirement,
    rattler_errors.InvalidVersionSpecError: _bad_requirement,
    rattler_errors.PackageNameMatcherParseError: _bad_requirement,
    rattler_errors.RequirementError: _bad_requirement,
    # A channel that cannot be asked.
    rattler_errors.CacheDirError: channel_unavailable,
    rattler_errors.FetchRepoDataError: channel_unavailable,
    rattler_errors.GatewayError: channel_unavailable,
    rattler_errors.GatewayWarning: channel_unavailable,
    rattler_errors.InvalidChannelError: channel_unavailable,
    rattler_errors.InvalidUrlError: channel_unavailable,
    rattler_errors.IoError: channel_unavailable,
    rattler_errors.ValidatePackageRecordsError: channel_unavailable,
    # Nothing that a solve does should raise these.
    rattler_errors.ActivationError: _unforeseen,
    rattler_errors.ActivationScriptFormatError: _unforeseen,
    rattler_errors.AttestationError: _unforeseen,
    rattler_errors.AuthenticationStorageError: _unforeseen,
    rattler_errors.ConfigError: _unforeseen,
    rattler_errors.ConversionError: _unforeseen,
    rattler_errors.ConvertSubdirError: _unforeseen,
    rattler_errors.DetectVirtualPackageError: _unforeseen,
    rattler_errors.EnvironmentCreationError: _unforeseen,
    rattler_errors.ExtractError: _unforeseen,
    rattler_errors.InstallerError: _unforeseen,
    rattler_errors.InvalidHeaderNameError: _unforeseen,
    rattler_errors.InvalidHeaderValueError: _unforeseen,
    rattler_errors.LinkError: _unforeseen,
    rattler_errors.ParseArchError: _unforeseen,
    rattler_errors.ParseCondaLockError: _unforeseen,
    rattler_errors.ParseExplicitEnvironmentSpecError: _unforeseen,
    rattler_errors.ParseSubdirError: _unforeseen,
    rattler_errors.ShellError: _unforeseen,
    rattler_errors.TransactionError: _unforeseen,
    rattler_errors.VersionBumpError: _unforeseen,
    rattler_errors.VersionExtendError: _unforeseen,
    rattler_errors.VirtualPackageOverrideError: _unforeseen,
}


@contextmanager
def mapped_failures(
    channels: Sequence[Channel], credentials: ChannelCredentials = _NO_CREDENTIALS
) -> Iterator[None]:
    """Turn what rattler raises inside into a :class:`SolveError`, the most specific class first.

    A panic in Rust arrives as an exception outside :class:`Exception`, and would end the server's
    task: repodata can provoke one, so it counts as damaged.
    """
    try:
        yield
    except tuple(FAILURES) as exc:
        maker = next(FAILURES[kind] for kind in type(exc).__mro__ if kind in FAILURES)
        raise maker(str(exc), channels, credentials) from exc
    except BaseException as exc:
        if type(exc).__name__ != "PanicException":
            raise
        raise channel_unavailable("decode", channels) from exc


def _bare(text: str) -> str:
    """Return ``text`` with credentials taken out of its addresses: before an ``@``, and tokens."""
    return re.sub(r"(://[^/\s]*)/t/[^/\s]+", r"\1", re.sub(r"://[^/@\s]*@", "://", text))
