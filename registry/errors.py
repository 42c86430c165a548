"""What the service says beyond the builder's errors.

::

    RegistryError
    ├── EndpointUnknown
    ├── NameInvalid
    ├── NameUnknown
    ├── ManifestUnknown
    ├── BlobUnknown
    ├── BlobUnavailable
    ├── ReferrersUnavailable
    ├── TagInvalid
    ├── ContentUnavailable
    ├── UploadUnknown
    ├── UploadInvalid
    │   ├── ChunkOutOfOrder
    │   └── BodyTooSlow
    ├── DigestMismatch
    ├── TooLarge
    ├── ManifestInvalid
    ├── PartsUnknown
    ├── BlobInUse
    ├── PageInvalid
    ├── RangeInvalid
    ├── Unsupported
    │   └── GeneratedRepository
    │       └── EnvironmentRepository
    ├── StillBuilding
    │   └── StillSolving
    ├── Unauthorized
    ├── Denied
    │   └── LoginRefused
    │       └── NameTaken
    ├── ProviderUnavailable
    ├── TooManyRequests
    │   ├── TooManyLogins
    │   ├── TooManyStreams
    │   ├── TooManyWaiting
    │   ├── TooManyNewImages
    │   └── BuildsUsedUp
    ├── BuildBlocked
    ├── ArchiveUnknown
    ├── PolicyInvalid
    ├── PolicyTextInvalid
    ├── SourceUnreachable
    ├── SourceFileUnreadable
    ├── PrefixError         raised where environments are directories; no face has one
    │   ├── PrefixSourceUnavailable
    │   ├── RootUnusable
    │   └── PrefixUnusable
    ├── DatabaseUnavailable
    │   ├── DatabaseMissing
    │   └── DatabaseOutdated
    ├── CatalogError        raised for namespaces, environments, grants and tokens
    │   ├── CatalogNameInvalid
    │   ├── CatalogTextInvalid
    │   ├── CatalogNameTaken
    │   ├── NamespaceInUse
    │   ├── NamespaceUnknown
    │   ├── EnvironmentUnknown
    │   ├── EnvironmentNotDeleted
    │   ├── VersionUnknown
    │   ├── NoActiveVersion
    │   ├── GrantUnknown
    │   ├── GrantInvalid
    │   ├── TooManyGrants
    │   ├── TokenUnknown
    │   ├── TokenInvalid
    │   ├── PrincipalUnknown
    │   ├── LastAdministrator
    │   ├── GroupUnknown
    │   ├── GroupHasRoles
    │   ├── WaiverUnknown
    │   ├── WaiverInvalid
    │   ├── WaiverDecided
    │   ├── NothingRefused
    │   ├── TooManyWaivers
    │   ├── SourceUnknown
    │   ├── SourceInvalid
    │   ├── SourceDeclared
    │   ├── TooManySources
    │   ├── EnvironmentManaged
    │   ├── EnvironmentArchived
    │   ├── WebhookUnknown
    │   ├── WebhookInvalid
    │   ├── TooManyWebhooks
    │   ├── DeliveryUnknown
    │   ├── DeliveryForgotten
    │   ├── ProposalUnknown
    │   ├── ProposalDecided
    │   ├── NoTestCommand
    │   ├── RevisionConflict
    │   ├── TooManyVersions
    │   ├── QuotaExceeded
    │   ├── VersionNotBuilt
    │   ├── VersionEnded
    │   ├── VersionInUse
    │   ├── ScheduleUnknown
    │   ├── ScheduleInvalid
    │   ├── NothingToSolve
    │   ├── CursorInvalid
    │   └── ExportInvalid
    └── ApiError            raised for the API alone
        ├── BuildUnknown
        ├── RequestUnknown
        ├── TooManyBuilds
        ├── TrialTooLong
        ├── BodyTooLarge
        ├── ParameterInvalid
        ├── KeyReused
        └── KeyBusy
"""

from collections.abc import Sequence

from builder.errors import DomainError
from builder.ports import Progress


class RegistryError(DomainError, kind="internal"):
    """The request cannot be answered as it was meant."""


class EndpointUnknown(RegistryError, kind="not_found"):
    """The address leads to nothing that the distribution-spec describes."""


class NameInvalid(RegistryError, kind="invalid"):
    """The repository's name does not follow the distribution-spec's grammar."""


class NameUnknown(RegistryError, kind="not_found"):
    """There is no such repository."""


def never_pushed(repository: str) -> NameUnknown:
    """Return what is said of a repository that there is not, or that one may not know of."""
    return NameUnknown(
        f"there is no repository '{repository}' that you may see: log in as somebody who may, or"
        " push to it; images of conda packages are named after them, for example 'env/numpy'"
    )


class ManifestUnknown(RegistryError, kind="not_found"):
    """The repository has no such manifest."""


class BlobUnknown(RegistryError, kind="not_found"):
    """There is no such blob."""


class BlobUnavailable(RegistryError, kind="unavailable"):
    """The blob cannot be read now, and will be readable again."""


class ReferrersUnavailable(RegistryError, kind="unavailable"):
    """What refers to an image cannot be made now, and may be later."""


class TagInvalid(RegistryError, kind="invalid"):
    """The tag does not follow the distribution-spec's grammar."""


class ContentUnavailable(RegistryError, kind="unavailable"):
    """What was pushed, or is being pushed, cannot be read or written now, and will be later."""


class UploadUnknown(RegistryError, kind="not_found"):
    """There is no such upload."""


class UploadInvalid(RegistryError, kind="invalid"):
    """The request does not fit the upload, or its body is not what its headers say."""


class ChunkOutOfOrder(UploadInvalid):
    """The chunk does not begin where the upload ends."""

    def __init__(self, size_bytes: int) -> None:
        #: What was received so far.
        self.size_bytes = size_bytes
        super().__init__(f"the next chunk begins at byte {size_bytes}: send that one")


class BodyTooSlow(UploadInvalid):
    """The client sent nothing for too long."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"nothing was received for {seconds:g} s: send it again")


class DigestMismatch(RegistryError, kind="invalid"):
    """What was pushed has another digest than its address says."""

    def __init__(self, digest: str, found: str) -> None:
        self.digest = digest
        self.found = found
        super().__init__(f"the digest of what was sent is {found}, not {digest}: send it again")


class TooLarge(RegistryError, kind="too_large"):
    """What is pushed is larger than this registry takes."""

    def __init__(self, what: str, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        super().__init__(f"{what} has at most {limit_bytes} bytes here")


class ManifestInvalid(RegistryError, kind="invalid"):
    """What was pushed is no manifest or index that registries take."""


class PartsUnknown(RegistryError, kind="not_found"):
    """A manifest names blobs or manifests that the repository does not have."""

    def __init__(self, digests: Sequence[str]) -> None:
        self.digests = tuple(digests)
        few = ", ".join(digests[:3]) + (", …" if len(digests) > 3 else "")
        super().__init__(f"push these first, which the manifest names: {few}")


class BlobInUse(RegistryError, kind="conflict"):
    """A manifest of the repository needs the blob that is to be deleted."""


class PageInvalid(RegistryError, kind="invalid"):
    """The number of entries asked for is not a number."""


class RangeInvalid(RegistryError, kind="invalid"):
    """The range of bytes asked for lies outside the blob."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        super().__init__(f"the range asked for lies outside the blob's {size_bytes} bytes")


class Unsupported(RegistryError, kind="invalid"):
    """The registry does not offer this.

    Args:
        message: The sentence for the user.
        allow: The methods that the address knows.
    """

    def __init__(self, message: str, allow: Sequence[str]) -> None:
        self.allow = tuple(allow)
        super().__init__(message)


class GeneratedRepository(Unsupported):
    """Nobody pushes to, or deletes from, a repository whose images are made here."""

    def __init__(self, repository: str) -> None:
        self.repository = repository
        super().__init__(
            f"nothing can be pushed to '{repository}' or deleted from it: this registry makes its"
            " images itself, from the conda packages that their names list",
            ("GET", "HEAD"),
        )


class EnvironmentRepository(GeneratedRepository):
    """Nobody pushes to, or deletes from, a repository that is a named environment."""

    def __init__(self, repository: str) -> None:
        super().__init__(repository)
        Unsupported.__init__(
            self,
            f"nothing can be pushed to '{repository}' or deleted from it: it is an environment,"
            f" which 'pullforge env update {repository}' changes; push under another name",
            self.allow,
        )


class StillBuilding(RegistryError, kind="busy"):
    """The image is being built and not ready yet."""

    def __init__(self, progress: Progress, *, what: str = "the image") -> None:
        self.progress = progress
        super().__init__(
            f"{what} is still being built: {progress}; pull again in a moment,"
            " what is done so far is kept"
        )


class StillSolving(StillBuilding):
    """What a specification comes to is not known yet."""

    def __init__(self) -> None:
        self.progress = Progress("solve")
        RegistryError.__init__(
            self,
            "solving this takes longer than one waits for an answer: it goes on, so ask again in a"
            " moment",
        )


class Unauthorized(RegistryError, kind="denied"):
    """The request needs credentials, or better ones.

    Args:
        message: The sentence for the user.
        problem: What is wrong with the token that was sent, as RFC 6750 calls it.
        challenge: What to ask whom for: a value of ``WWW-Authenticate``.
    """

    def __init__(self, message: str, problem: str | None = None, *, challenge: str = "") -> None:
        self.problem = problem
        self.challenge = challenge
        super().__init__(message)


class Denied(RegistryError, kind="denied"):
    """Whoever sent the request may not do this."""


class LoginRefused(Denied):
    """A login in a browser came to nothing."""


class FormRefused(Denied):
    """A form was sent by no page of this host, or is none."""


class NameTaken(LoginRefused):
    """Who has logged in at a provider has the name of somebody else here."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"'{name}' is somebody else here already: ask the administrator to have your name"
            " changed at the login service, or theirs"
        )


class ProviderUnavailable(RegistryError, kind="unavailable"):
    """Where people log in does not answer, or says nothing that can be used."""


class TooManyRequests(RegistryError, kind="busy"):
    """Whoever sent the request has to wait before the next one.

    Args:
        message: The sentence for the user.
        seconds: When it is worth trying again.
    """

    def __init__(self, message: str, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(message)


class TooManyLogins(TooManyRequests):
    """Too many logins failed, or are under way."""


class TooManyStreams(TooManyRequests):
    """Somebody follows as many streams of events as one may."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(
            f"{limit} streams of events are open here for you, which is the most: end some, or"
            " follow a namespace as a whole",
            60,
        )


class TooManyWaiting(TooManyRequests):
    """As many requests of somebody wait for a change as may."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(
            f"{limit} requests of yours wait here for something to change, which is the most: ask"
            " again later, or without waiting",
            30,
        )


class TooManyNewImages(TooManyRequests):
    """One client has asked for more work than it may."""

    def __init__(self, message: str, seconds: int, client: str) -> None:
        #: Who has.
        self.client = client
        super().__init__(message, seconds)


class BuildsUsedUp(TooManyRequests):
    """A namespace has had all builds that it may have in a day."""


class BuildBlocked(RegistryError, kind="denied"):
    """Nobody may have a build any more.

    Args:
        key: Of the build that is blocked; that which was asked for may be a variant of it.
        reason: What the administrator says of it.
    """

    def __init__(self, key: str, reason: str) -> None:
        self.key = key
        self.reason = reason
        super().__init__(
            f"build '{key}' is blocked by the administrator"
            f"{f': {reason}' if reason else ', who can say why'}"
        )


class ArchiveUnknown(RegistryError, kind="not_found"):
    """A build has no package, or wheel, of that sha256."""

    def __init__(self, key: str, sha256: str) -> None:
        self.key = key
        self.sha256 = sha256
        super().__init__(
            f"no package of the build {key} has the sha256 '{sha256[:64]}': those that it has are"
            " in its installation.json"
        )


class PolicyInvalid(RegistryError):
    """The file with users, tokens and rights cannot be used."""


class PolicyTextInvalid(RegistryError, kind="invalid"):
    """The text of a policy, or an advisory, says nothing that can be used.

    Args:
        file: Where it stands, e.g. ``"company.toml"``.
        reason: What is wrong, and what to write instead.
        line: Counted from 1; ``None``: the whole.
        field: E.g. ``"packages.denied[0]"``; ``""``: the whole.
    """

    def __init__(self, file: str, reason: str, *, line: int | None = None, field: str = "") -> None:
        self.file = file
        self.reason = reason
        self.line = line
        self.field = field
        place = ", ".join(filter(None, (file, f"line {line}" if line else "", field)))
        super().__init__(f"{place}: {reason}")

    def __reduce__(self) -> tuple[object, ...]:
        """Say how another process has it: advisories are read by some."""
        return _text_invalid, (self.file, self.reason, self.line, self.field)


class PolicyUnknown(RegistryError, kind="not_found"):
    """There is no such policy."""

    def __init__(self, name: str, namespace: str | None = None) -> None:
        if namespace is None:
            sentence = f"there is no policy '{name[:80]}' here"
        else:
            sentence = f"'{namespace[:100]}' has no policy of its own"
        super().__init__(sentence)


class PolicyInFile(RegistryError, kind="conflict"):
    """A policy is a file's, and is changed there."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"policy '{name[:80]}' is kept in a file: whoever keeps the files of PULLFORGE_POLICIES"
            " changes it there"
        )


class BlockUnknown(RegistryError, kind="not_found"):
    """A build is not blocked."""

    def __init__(self, key: str) -> None:
        super().__init__(f"build '{key[:100]}' is not blocked")


def _text_invalid(file: str, reason: str, line: int | None, field: str) -> PolicyTextInvalid:
    return PolicyTextInvalid(file, reason, line=line, field=field)


class SourceUnreachable(RegistryError, kind="unavailable"):
    """Nothing can be said of the place where files are that define environments."""


class SourceFileUnreadable(RegistryError):
    """A file that defines an environment is there and cannot be read."""


class PrefixError(RegistryError):
    """Environments cannot be kept as directories; no face answers with one."""


class PrefixSourceUnavailable(PrefixError, kind="unavailable"):
    """The server cannot be reached, or refuses what a root asks of it."""


class RootUnusable(PrefixError):
    """Nothing can be done about a root: it is no root, belongs to others or has no room."""


class PrefixUnusable(PrefixError):
    """One prefix cannot be made; the others can."""


class DatabaseUnavailable(RegistryError, kind="unavailable"):
    """The database does not answer, and may do so later; nothing was changed."""

    def __init__(
        self, message: str = "the database does not answer: try again in a moment"
    ) -> None:
        super().__init__(message)


class DatabaseMissing(DatabaseUnavailable):
    """There is no database, and nobody said where one is."""

    def __init__(self) -> None:
        super().__init__(
            "named environments need a database: the administrator has to set PULLFORGE_DATABASE"
            " to postgresql://USER:PASSWORD@HOST/NAME or sqlite:////DIRECTORY/FILE"
        )


class DatabaseOutdated(DatabaseUnavailable):
    """The database has the tables of another version of this program."""

    def __init__(self, found: str, needed: str) -> None:
        self.found = found
        self.needed = needed
        super().__init__(
            f"the database has revision {found} and this program needs {needed}:"
            " run 'pullforge database upgrade' with this program's version"
        )


class CatalogError(RegistryError, kind="invalid"):
    """What was asked of namespaces, environments, grants or tokens cannot be done."""


class CatalogNameInvalid(CatalogError):
    """The name cannot be that of a namespace or an environment."""


class CatalogTextInvalid(CatalogError):
    """A description or note cannot be kept."""


class CatalogNameTaken(CatalogError, kind="conflict"):
    """Something else has the name, or one that would be the same in an image's name."""


class NamespaceInUse(CatalogError, kind="conflict"):
    """A namespace has pushed repositories, which would be everybody's without it."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        super().__init__(
            f"'{namespace[:100]}' has pushed repositories, which are private as long as it has that"
            " name: delete their manifests first"
        )


class NamespaceUnknown(CatalogError, kind="not_found"):
    """There is no such namespace."""

    #: Whether it may be there, and whoever asked has no role in it.
    is_theirs_not = False

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        super().__init__(f"there is no namespace '{namespace[:100]}' here")


class EnvironmentUnknown(CatalogError, kind="not_found"):
    """There is no such environment."""

    #: Whether it may be there, and whoever asked has no role in it.
    is_theirs_not = False

    def __init__(self, namespace: str, environment: str) -> None:
        self.namespace = namespace
        self.environment = environment
        super().__init__(f"there is no environment '{namespace[:100]}/{environment[:100]}' here")


class EnvironmentNotDeleted(CatalogError, kind="conflict"):
    """An environment cannot be restored that is there, and was not deleted before."""

    def __init__(self, path: str) -> None:
        super().__init__(f"'{path}' is not deleted: there is nothing to restore")


class VersionUnknown(CatalogError, kind="not_found"):
    """The environment has no such version."""

    def __init__(self, path: str, number: int) -> None:
        self.number = number
        super().__init__(f"'{path}' has no version {number}")


class NoActiveVersion(CatalogError, kind="not_found"):
    """No version of an environment was built yet, or none was activated."""

    def __init__(self, path: str) -> None:
        super().__init__(f"no version of '{path}' is active yet: the first that is built will be")


class GrantUnknown(CatalogError, kind="not_found"):
    """There is no such grant."""


class GrantInvalid(CatalogError):
    """Nobody can be given that."""


class TooManyGrants(CatalogError, kind="conflict"):
    """A namespace has as many grants as it may."""

    def __init__(self, namespace: str, limit: int) -> None:
        self.limit = limit
        super().__init__(
            f"'{namespace}' has {limit} grants, which is the most: take some back, or give roles to"
            " groups and on globs such as 'team-*'"
        )


class TokenUnknown(CatalogError, kind="not_found"):
    """There is no such token."""


class TokenInvalid(CatalogError):
    """No token can be made like that."""


class PrincipalUnknown(CatalogError, kind="not_found"):
    """There is no such user or robot."""


class LastAdministrator(CatalogError, kind="conflict"):
    """Nobody could administer the service any more."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"'{name[:100]}' is the last administrator of the service: make somebody else one first"
        )


class GroupUnknown(CatalogError, kind="not_found"):
    """There is no such group."""


class GroupHasRoles(CatalogError, kind="conflict"):
    """A group that roles were given to cannot be deleted."""

    def __init__(self, name: str, grants: int) -> None:
        self.grants = grants
        roles = "a role was" if grants == 1 else f"{grants} roles were"
        super().__init__(
            f"{roles} given to the group '{name[:100]}', and whoever makes one of that name would"
            " have them: take them back first"
        )


class WaiverUnknown(CatalogError, kind="not_found"):
    """There is no such waiver, or whoever asks may not know of it."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"there is no waiver {number} here")


class WaiverInvalid(CatalogError):
    """No waiver can be asked for, or given, like that."""


class WaiverDecided(CatalogError, kind="conflict"):
    """A waiver is not in the state in which that could be done with it."""


class NothingRefused(CatalogError, kind="conflict"):
    """A waiver is asked for, and no policy has refused a package."""


class TooManyWaivers(CatalogError, kind="conflict"):
    """As many waivers that somebody asked for are not decided as one may have."""

    def __init__(self, name: str, limit: int) -> None:
        self.limit = limit
        super().__init__(
            f"{limit} waivers that '{name}' asked for are not decided yet, which is the most:"
            " wait for an administrator, or withdraw some"
        )


class SourceUnknown(CatalogError, kind="not_found"):
    """There is no such source, or whoever asks may not know of it."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"there is no source {number} here")


class SourceInvalid(CatalogError):
    """No source can be like that, or have such a file."""


class SourceDeclared(CatalogError, kind="conflict"):
    """The settings of servers declare a source, and it is changed there."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"source '{name[:100]}' is declared by PULLFORGE_WATCH: whoever keeps the settings of"
            " the servers changes it there"
        )


class TooManySources(CatalogError, kind="conflict"):
    """A namespace has as many sources as it may."""

    def __init__(self, namespace: str, limit: int) -> None:
        self.limit = limit
        super().__init__(
            f"'{namespace[:100]}' has {limit} sources, which is the most: delete one first, or have"
            " one define more environments"
        )


class EnvironmentManaged(CatalogError, kind="conflict"):
    """A file defines an environment, and it is changed there."""

    def __init__(self, path: str, file: str, source: str, *, advice: str) -> None:
        self.file = file
        self.source = source
        super().__init__(
            f"'{path}' is defined by {file[:300]} of the source '{source[:100]}': {advice}"
        )


class EnvironmentArchived(CatalogError, kind="conflict"):
    """An environment that is archived takes no new version."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"'{path}' is archived and takes no new version: take it out of the archive first"
        )


class ProposalUnknown(CatalogError, kind="not_found"):
    """There is no such proposal, or whoever asks may not know of it."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"there is no proposal {number} here")


class ProposalDecided(CatalogError, kind="conflict"):
    """A proposal is not open any more."""


class NoTestCommand(CatalogError, kind="conflict"):
    """A proposal is to be tested, and its environment has no command for that."""


class ImageUnfit(CatalogError, kind="failed"):
    """An image cannot be tested: it has no shell, is damaged, or too large to be unpacked."""


class WebhookUnknown(CatalogError, kind="not_found"):
    """There is no such webhook, or whoever asks may not know of it."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"there is no webhook {number} here")


class WebhookInvalid(CatalogError):
    """Nothing can be sent like that."""


class TooManyWebhooks(CatalogError, kind="conflict"):
    """A namespace, or the service, has as many webhooks as it may."""

    def __init__(self, namespace: str | None, limit: int) -> None:
        self.limit = limit
        whose = "the service" if namespace is None else f"'{namespace[:100]}'"
        super().__init__(f"{whose} has {limit} webhooks, which is the most: delete one first")


class DeliveryUnknown(CatalogError, kind="not_found"):
    """A webhook has no such delivery, or it is purged."""

    def __init__(self, webhook: int, number: int) -> None:
        self.number = number
        super().__init__(f"webhook {webhook} has no delivery {number}, or it was forgotten by now")


class DeliveryForgotten(CatalogError, kind="conflict"):
    """What was sent is not known any more: its event is purged."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"event {number} was purged from the audit log: it cannot be sent again")


class RevisionConflict(CatalogError, kind="conflict"):
    """Somebody else has changed it since it was read."""

    def __init__(self, path: str, revision: int) -> None:
        #: What it has now.
        self.revision = revision
        super().__init__(
            f"'{path}' was changed by somebody else in the meantime: read it again, and decide"
        )


class TooManyVersions(CatalogError, kind="busy"):
    """Somebody has as many versions under way as one may."""

    def __init__(self, name: str, limit: int) -> None:
        self.limit = limit
        super().__init__(
            f"{limit} versions that '{name}' asked for are not made yet, which is the most: wait"
            " until some are, or cancel them"
        )


class QuotaExceeded(CatalogError, kind="denied"):
    """A namespace would have more than an administrator allows it."""


class VersionNotBuilt(CatalogError, kind="conflict"):
    """A version cannot be active that has nothing to pull."""


class VersionEnded(CatalogError, kind="conflict"):
    """A version cannot be cancelled that has ended."""


class VersionInUse(CatalogError, kind="conflict"):
    """A version cannot be deleted that is active, proposed or under way."""


class ScheduleUnknown(CatalogError, kind="not_found"):
    """There is no such schedule."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(
            f"'{path}' has no schedule: set one with 'pullforge schedule set {path} weekly'"
        )


class ScheduleInvalid(CatalogError):
    """What is to be a schedule is none."""


class NothingToSolve(CatalogError, kind="conflict"):
    """There is nothing of an environment that can be solved anew now."""


class CursorInvalid(CatalogError):
    """The place in a list, where a page is to begin, is none that an earlier page named."""

    def __init__(self) -> None:
        super().__init__("'after' is what the page before gave as 'next': send that, unchanged")


class ExportInvalid(CatalogError):
    """A file cannot be imported."""


class ApiError(RegistryError, kind="invalid"):
    """What was asked of the API cannot be done."""


class BuildUnknown(ApiError, kind="not_found"):
    """There is no such build."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(
            f"there is no build '{key[:100]}' here: a build is named by the 32 hex digits of its"
            " key, which POST /api/v1/builds answers and every image has as the annotation"
            " io.pullforge.build.key"
        )


class RequestUnknown(ApiError, kind="not_found"):
    """There is no such request, or it failed long ago and is forgotten."""


class TooManyBuilds(ApiError, kind="busy"):
    """As many requests are under way as the administrator allows."""


class TrialTooLong(ApiError, kind="busy"):
    """What a policy would find is not known before whoever asks has lost patience."""

    def __init__(self) -> None:
        super().__init__(
            "holding all builds against the policy takes more time than there is: the server has"
            " other things to do, try again in a moment"
        )


class BodyTooLarge(ApiError, kind="too_large"):
    """What was sent is larger than the administrator allows."""


class ParameterInvalid(ApiError):
    """A part of the address, a header or the body has a value that means nothing.

    Args:
        message: The sentence for the user.
        field: Where it is, if it is in the body or the query.
    """

    def __init__(self, message: str, *, field: str | None = None) -> None:
        self.field = field
        super().__init__(message)


class KeyReused(ApiError, kind="failed"):
    """An ``Idempotency-Key`` was sent with another request before."""


class KeyBusy(ApiError, kind="conflict"):
    """The first request with an ``Idempotency-Key`` is not answered yet."""
