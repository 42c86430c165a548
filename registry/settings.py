"""Everything an administrator can set; each field is described in ``docs/settings.md``.

Settings come from environment variables (``PULLFORGE_STORE=/var/lib/pullforge``); lists and
objects are written as JSON. Unknown ``PULLFORGE_…`` variables are refused, since a misspelt setting
is worse than none.
"""

import os
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ByteSize,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from builder.fetch.channel_credentials import SETTING as _CREDENTIALS
from builder.fetch.channel_credentials import read_credentials
from builder.platforms import Subdir
from builder.records import without_credentials
from builder.spec import parse_user
from registry.storage.location import parse_location

_PREFIX = "PULLFORGE_"
#: Options of ``pullforge prefixes``, which looks at them itself.
_OF_PREFIXES = "PULLFORGE_PREFIXES_"
_DATABASE = re.compile(r"postgres(ql)?://[^/]*/[^/?]+(\?.*)?|sqlite:///.*[^/]")
_SMTP = re.compile(r"smtps?://([^/@\s]+@)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?/?")
_PATH = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,99}){1,5}")
#: What is below the service's address already.
_OWN_PATHS = frozenset(
    {
        *("api", "build", "env", "healthz", "login", "logout", "me", "metrics", "new"),
        *("readyz", "search", "static", "ui", "v1", "v2"),
    }
)
_ORIGIN = re.compile(r"https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_IDENTITY = re.compile(
    r"(https?://([a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(:[1-9][0-9]*)?|file://(?=/))"
    r"(/[A-Za-z0-9_~+@-][A-Za-z0-9._~+@-]*)*"
)
_USUAL_PORT = re.compile(r"(http://[^/]*:80|https://[^/]*:443)(/|\Z)")
_MAIL = re.compile(r"[A-Za-z0-9._+=-]+@[A-Za-z0-9.-]+")


class MirroredChannel(BaseModel):
    """A channel that is fetched from elsewhere than where locks say that it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: The address that locks and all that is made of them name.
    url: str
    #: The address that indexes and archives are fetched from.
    mirror: str


class WatchedPath(BaseModel):
    """A directory or file whose files define environments."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path
    #: Whose environments they are; ``None``: the patterns say it with ``{namespace}``.
    namespace: str | None = None
    #: By what it is known; ``None``: by the last part of its path.
    name: str | None = None
    #: Which path becomes which environment, e.g. ``["{environment}/environment.yml"]``; ``None``:
    #: as :mod:`registry.watcher.patterns` says.
    patterns: list[str] | None = None
    #: What becomes of an environment whose file is gone.
    removed: Literal["keep", "archive", "delete"] = "keep"
    #: What becomes of edits elsewhere.
    edits: Literal["refuse", "propose"] = "refuse"
    #: Whether new versions become active; else they are proposals.
    activate: bool = True

    @field_validator("path", mode="before")
    @classmethod
    def _path_is_none_of_a_repository(cls, path: object) -> object:
        if isinstance(path, str) and "://" in path:
            raise ValueError(
                "directories of this machine are watched; of a repository,"
                " 'pullforge source create' makes a source"
            )
        return path

    @property
    def called(self) -> str:
        """By what it is known."""
        return self.name or self.path.name or "files"


def _channel_address(name: str, url: str) -> str:
    """Return an address of a channel without a slash at the end.

    Raises:
        ValueError: It is none, or holds credentials.
    """
    is_remote = urlsplit(url).scheme != "file"
    if is_remote and without_credentials(f"{url}/") != f"{url}/":
        raise ValueError(
            f"the address of channel {name!r} holds credentials: take them out, and write"
            f" them into the file of {_CREDENTIALS}, as docs/operations.md shows"
        )
    if urlsplit(url).scheme not in {"http", "https", "file"}:
        raise ValueError(f"channel {name!r} needs an http, https or file URL, not {url!r}")
    return url.rstrip("/")


class Settings(BaseSettings):
    """The service's settings, read once at start."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True
    )

    #: The address to listen on.
    host: str = "127.0.0.1"
    #: The port to listen on.
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    #: The address by which clients reach the service; ``None`` for the one their requests name.
    public_url: str | None = None
    #: The addresses and networks of proxies whose ``X-Forwarded-…`` headers are believed.
    trusted_proxies: list[str] = ["127.0.0.1", "::1"]
    #: How many connections an address may have at once; the proxies above, any number.
    address_connections: Annotated[int, Field(gt=0)] = 500
    #: How many answers one address may leave unread at once.
    address_unread: Annotated[int, Field(gt=0)] = 32
    #: How many images that were not made before one address may ask for at once, and one account
    #: when those of its address are used up; 0: any number.
    new_images: Annotated[int, Field(ge=0)] = 200
    #: How many more of them each minute.
    new_images_per_minute: Annotated[float, Field(gt=0)] = 60
    #: The file with users, robot tokens and rights; ``None``: all may pull, and nobody may write.
    auth_file: Path | None = None
    #: The OpenID provider where people log in, as it calls itself; ``None``: by password alone.
    oidc_issuer: str | None = None
    #: What the provider calls this service.
    oidc_client_id: str = "pullforge"
    #: The secret that the provider gave it; ``None`` for a public client.
    oidc_client_secret: SecretStr | None = None
    #: The claim that has somebody's name.
    oidc_name_claim: Annotated[str, Field(min_length=1)] = "preferred_username"
    #: The claim that lists somebody's groups.
    oidc_groups_claim: Annotated[str, Field(min_length=1)] = "groups"
    #: What the provider is asked for.
    oidc_scopes: list[Annotated[str, Field(pattern=r"^[!#-\[\]-~]+$")]] = [
        "openid",
        "profile",
        "email",
    ]
    #: The database of namespaces, environments, roles and tokens: ``postgresql://…`` or
    #: ``sqlite:///…``; ``None`` for one inside the store, and none if that is no directory.
    database: SecretStr | None = None
    #: What keeps everything, blobs, locks, package archives: a directory or ``s3://BUCKET/PREFIX``.
    store: str = "~/.local/share/pullforge"
    #: A directory for what may be lost: downloads under way, channel indexes, unpacked Pythons.
    #: ``None`` for one inside the store; with S3, one in the user's cache.
    scratch: Path | None = None
    #: The address of an S3 server; ``None`` for Amazon's.
    s3_endpoint: str | None = None
    #: The region of the bucket; ``None`` for what the SDK finds.
    s3_region: str | None = None
    #: Who reads and writes the bucket; ``None`` for what the SDK finds.
    s3_access_key_id: SecretStr | None = None
    #: The secret that belongs to it.
    s3_secret_access_key: SecretStr | None = None
    #: The address under which clients reach the S3 server; ``None`` for the same.
    s3_public_endpoint: str | None = None
    #: How long the address of a blob that a client was given works, in seconds.
    s3_link_seconds: Annotated[int, Field(ge=60, le=604_800)] = 1200
    #: Whether clients get blobs from S3 themselves rather than through this server.
    redirect_blobs: bool = True
    #: The channels that may be used, name to address, or to the address that locks have and that of
    #: a mirror; image names ask for one by NAME--PACKAGE.
    channels: dict[str, str | MirroredChannel] = {
        "conda-forge": "https://conda.anaconda.org/conda-forge",
        "bioconda": "https://conda.anaconda.org/bioconda",
    }
    #: The file with what private channels ask for, by host; ``None``: nothing is sent to any.
    channel_credentials: Path | None = None
    #: The names of the channels that every environment may take packages from, by priority.
    default_channels: Annotated[list[str], Field(min_length=1)] = ["conda-forge"]
    #: Whether environments may have packages of PyPI beside conda's.
    pypi: bool = True
    #: The simple index (PEP 503) where they are looked for.
    pypi_index: str = "https://pypi.org/simple"
    #: The hosts that wheels may be downloaded from, with the port where there is one.
    pypi_hosts: Annotated[list[str], Field(min_length=1)] = ["files.pythonhosted.org"]
    #: Networks that are not public, yet may have hosts that downloads are redirected to, e.g.
    #: ``["10.2.0.0/16"]``. What the settings name itself needs none.
    private_networks: list[str] = []
    #: The base of images: a registry's reference, ``registry:NAME:TAG`` for one that was pushed to
    #: this registry, or a layout directory as ``oci:/directory``.
    base: str = "docker.io/library/debian:bookworm-slim"
    #: Other bases that a request may ask for: patterns of references such as ``ghcr.io/acme/*``.
    bases: list[str] = []
    #: The directory with policies, ``<name>.toml``; ``None``: those of the database alone hold.
    policies: Path | None = None
    #: The file, or directory with files, of advisories in OSV format; ``None``: none is known.
    advisories: Path | None = None
    #: Who runs in a container, by numbers, e.g. ``1000:1000``; ``None`` for whoever the
    #: base says.
    user: str | None = None
    #: The platforms every image is built for; the first is mandatory for each environment.
    platforms: Annotated[list[Subdir], Field(min_length=1)] = ["linux-64"]
    #: The version of glibc in the base, which packages may ask for.
    glibc: str = "2.36"
    #: The version of Linux that packages may expect.
    linux: str = "5.10"
    #: The processors that images are for, by platform: archspec's names, e.g.
    #: ``{"linux-64": "x86_64_v3"}``. What is not said is the least that the platform has.
    archspec: dict[Subdir, Annotated[str, Field(pattern=r"^[a-z0-9_.]{1,64}$")]] = {}
    #: Other virtual packages that all images offer: name to version, or version and build, e.g.
    #: ``{"__cuda": "12.4"}``.
    virtual_packages: dict[
        Annotated[str, Field(pattern=r"^__[a-z0-9_.+-]{1,60}$")],
        Annotated[str, Field(pattern=r"^[A-Za-z0-9_.!+]{1,60}( [A-Za-z0-9_.]{1,60})?$")],
    ] = {}
    #: How long the answer to ``latest`` is served before it is renewed, in seconds.
    latest_ttl_seconds: Annotated[float, Field(gt=0)] = 3600
    #: How long an error is remembered, in seconds.
    error_ttl_seconds: Annotated[float, Field(ge=0)] = 30
    #: How long a channel's index is used before it is looked at again, in seconds.
    repodata_ttl_seconds: Annotated[float, Field(gt=0)] = 300
    #: How long a pull waits for a build before it is sent round again, in seconds.
    wait_seconds: Annotated[float, Field(gt=0, lt=30)] = 19
    #: The most time one solve may take, in seconds.
    solve_timeout_seconds: Annotated[float, Field(gt=0)] = 120
    #: The most time a download may go without a byte, in seconds.
    download_timeout_seconds: Annotated[float, Field(gt=0)] = 300
    #: How many requests of the API are carried out at once.
    max_builds: Annotated[int, Field(gt=0)] = 32
    #: Whether what is built through the API is pinned: its package archives stay for ever.
    pin_builds: bool = True
    #: Whether also what those ask for who have no right to pin.
    pin_builds_of_strangers: bool = False
    #: What the images of a namespace may take, each blob once, e.g. ``"50GB"``, where no quota is
    #: set for it; ``None``: any number, here and below.
    quota_bytes: Annotated[ByteSize, Field(ge=0, le=2**60)] | None = None
    #: How many environments it may have.
    quota_environments: Annotated[int, Field(ge=0, le=1_000_000_000)] | None = None
    #: How many versions may be asked for in it in a day, UTC.
    quota_builds_a_day: Annotated[int, Field(ge=0, le=1_000_000_000)] | None = None
    #: How many of its versions are made at once; the others wait.
    quota_builds_at_once: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    #: After how many days without a use the files of versions go that are not active, where nothing
    #: else is set for a namespace; ``None``: never.
    retention_days: Annotated[int, Field(ge=0, le=36_500)] | None = None
    #: How many of the newest versions of an environment keep theirs in any case.
    retention_keep: Annotated[int, Field(ge=0, le=1_000_000_000)] = 3
    #: The broker of the workers, ``redis://…`` or ``amqp://…``; ``None``: each server does its own
    #: work.
    broker: SecretStr | None = None
    #: The Redis that knows how far tasks are; ``None`` for the broker, if that is one.
    redis: SecretStr | None = None
    #: How many tasks may wait for a worker until further pulls are told to come back.
    max_waiting: Annotated[int, Field(gt=0)] = 1000
    #: The most time that workers may take for one task, in seconds. RabbitMQ takes back what is not
    #: acknowledged after half an hour.
    task_seconds: Annotated[float, Field(gt=0, le=1700)] = 1500
    #: The most memory that a process may have that makes layers for others, e.g. ``"2GB"``.
    task_memory_bytes: Annotated[ByteSize, Field(ge=512 * 1024**2)] = ByteSize(4 * 1024**3)
    #: The port on which ``pullforge worker`` answers ``/metrics``; 0 for none.
    worker_port: Annotated[int, Field(ge=0, le=65535)] = 9464
    #: How many processes assemble layers; 0 means one for each processor.
    workers: Annotated[int, Field(ge=0)] = 0
    #: The largest package archive to accept, in bytes.
    max_package_bytes: Annotated[int, Field(gt=0)] = 4 * 1024**3
    #: The largest index of a channel, or part of one, to accept, unpacked, e.g. ``"1GiB"``.
    max_index_bytes: Annotated[ByteSize, Field(ge=1024**2)] = ByteSize(1024**3)
    #: What the indexes of all channels may take on disk, with what is being downloaded.
    index_cache_bytes: Annotated[ByteSize, Field(ge=1024**2)] = ByteSize(8 * 1024**3)
    #: The most memory that a process may have that reads indexes and solves; there are two at most.
    index_memory_bytes: Annotated[ByteSize, Field(ge=256 * 1024**2)] = ByteSize(3 * 1024**3)
    #: The largest blob that can be pushed, in bytes, e.g. ``"20GB"``.
    max_blob_bytes: Annotated[ByteSize, Field(gt=0)] = ByteSize(64 * 1024**3)
    #: Whether a manifest can be pushed to a repository that lacks blobs or manifests it names.
    sparse_manifests: bool = True
    #: How long an upload may go without a request until it is forgotten, in seconds.
    upload_seconds: Annotated[float, Field(ge=3600)] = 86_400
    #: The largest file or request that describes an environment, in bytes.
    max_request_bytes: Annotated[int, Field(gt=0, le=64 * 1024**2)] = 4 * 1024**2
    #: What layers, forms of builds and archives of packages that are not pinned may take together,
    #: e.g. ``"500GB"``; those used longest ago go. ``None``: they stay.
    cache_bytes: Annotated[ByteSize, Field(ge=0)] | None = None
    #: After how many days without a use a layer, form or archive goes; ``None``: never.
    cache_days: Annotated[float, Field(gt=0)] | None = None
    #: How long after its last pull a `latest` is made new before it expires, in hours; 0: never.
    renew_hours: Annotated[float, Field(ge=0)] = 24
    #: What is made before anybody pulls it, e.g. ``["env/numpy.pandas", "env/pytorch:py3.12"]``.
    prewarm: list[str] = []
    #: In how many days the whole store is read once, a 256th at a time, and what is damaged is
    #: taken out to be made again; ``None``: never by itself.
    scrub_days: Annotated[float, Field(gt=0)] | None = None
    #: What the Python that compiles packages runs in; ``auto``: the first that works here.
    sandbox: Literal["auto", "bwrap", "landlock", "none"] = "auto"
    #: Whether each request writes a log line.
    access_log: bool = True
    #: After how many days an event of the audit log goes; ``None``: never.
    audit_days: Annotated[int, Field(ge=1, le=36_500)] | None = None
    #: Whether each event of the audit log is a log line, too.
    audit_log: bool = False
    #: Where traces are sent, a collector's OTLP over HTTP; ``None``: nothing is recorded.
    traces: str | None = None
    #: How many of the traces that begin here are recorded, 0 to 1.
    traces_ratio: Annotated[float, Field(ge=0, le=1)] = 1
    #: How log lines are written.
    log_format: Literal["json", "console"] = "json"
    #: Which paths of this machine are watched for environments, e.g.
    #: ``[{"path": "/srv/envs", "namespace": "analytics"}]``.
    watch: list[WatchedPath] = []
    #: How often a watched directory is looked at though nothing has told of a change, in seconds.
    watch_seconds: Annotated[float, Field(gt=0, le=86_400)] = 30
    #: How often a repository is fetched, in seconds.
    git_seconds: Annotated[float, Field(ge=5, le=86_400)] = 60
    #: Which addresses webhooks may be sent to though they are not public, e.g. ``["10.0.0.0/8"]``.
    webhook_networks: list[str] = []
    #: Where mail is handed over, e.g. ``"smtp://user:password@mail.example.org:587"``.
    smtp: SecretStr | None = None
    #: From whom mail is, e.g. ``"pullforge@example.org"``.
    mail_from: str | None = None
    #: How long the test of a proposal may take, in seconds.
    test_seconds: Annotated[float, Field(gt=0, le=3600)] = 300
    #: For how many days ``pullforge env run`` keeps what is not used, which reads this alone.
    run_cache_days: Annotated[int, Field(ge=0, le=100_000)] = 30
    #: Where conda-store's wire is, for its clients; empty: nowhere.
    conda_store_path: str = "/conda-store"
    #: Whether it is also at the root, where nothing else is.
    conda_store_at_root: bool = False
    #: The directory with ``main.js`` and ``main.css`` of conda-store-ui; ``None``: it is not shown.
    conda_store_ui: Path | None = None
    #: From which other hosts pages may use it in a browser, e.g. ``["https://hub.example.org"]``.
    conda_store_origins: list[str] = []

    @property
    def channel_urls(self) -> dict[str, str]:
        """The addresses of channels that locks have, by their names."""
        return {
            name: channel if isinstance(channel, str) else channel.url
            for name, channel in self.channels.items()
        }

    @property
    def mirrors(self) -> dict[str, str]:
        """Where each channel is fetched from, by the address that locks have."""
        return {
            url: url if isinstance(channel, str) else channel.mirror
            for url, channel in zip(self.channel_urls.values(), self.channels.values(), strict=True)
        }

    @property
    def broker_url(self) -> str:
        """The address of the broker; for settings that have one."""
        assert self.broker is not None, "there are no workers without a broker"
        return self.broker.get_secret_value()

    @field_validator("watch")
    @classmethod
    def _watched_have_names(cls, watch: list[WatchedPath]) -> list[WatchedPath]:
        known: set[tuple[str | None, str]] = set()
        for one in watch:
            if (one.namespace, one.called) in known:
                raise ValueError(f"two watched paths are called {one.called!r}: give one a name")
            known.add((one.namespace, one.called))
        return watch

    @field_validator("user")
    @classmethod
    def _user_is_a_number(cls, user: str | None) -> str | None:
        return parse_user(user) if user else None

    @field_validator("store")
    @classmethod
    def _store_is_a_place(cls, store: str) -> str:
        parse_location(store)
        return store

    @field_validator("database")
    @classmethod
    def _database_is_one(cls, database: SecretStr | None) -> SecretStr | None:
        if database is not None and not _DATABASE.fullmatch(database.get_secret_value()):
            # Not what it is: it has a password.
            raise ValueError(
                "the database is postgresql://USER:PASSWORD@HOST/NAME or sqlite:////DIRECTORY/FILE"
            )
        return database

    @field_validator("public_url", "s3_endpoint", "s3_public_endpoint", "traces")
    @classmethod
    def _urls_are_addresses(cls, url: str | None) -> str | None:
        if url is not None and not (
            urlsplit(url).scheme in {"http", "https"} and urlsplit(url).netloc
        ):
            raise ValueError(f"{url!r} is not an address: write http://HOST:PORT or https://HOST")
        return url

    @model_validator(mode="after")
    def _credentials_are_two(self) -> "Settings":
        if (self.s3_access_key_id is None) != (self.s3_secret_access_key is None):
            raise ValueError("PULLFORGE_S3_ACCESS_KEY_ID and …SECRET_ACCESS_KEY go together")
        return self

    @model_validator(mode="after")
    def _tasks_have_a_redis(self) -> "Settings":
        broker = self.broker.get_secret_value() if self.broker else ""
        if broker and urlsplit(broker).scheme not in {"redis", "rediss", "amqp", "amqps"}:
            raise ValueError("the broker is a redis:// or amqp:// address")
        if self.redis is not None and not broker:
            raise ValueError("PULLFORGE_REDIS is for PULLFORGE_BROKER, which is not set")
        if self.redis is None and broker.startswith("amqp"):
            raise ValueError("beside an amqp:// broker, PULLFORGE_REDIS is needed")
        return self

    @field_validator("oidc_issuer")
    @classmethod
    def _issuer_is_safe(cls, issuer: str | None) -> str | None:
        if issuer is None:
            return None
        parts = urlsplit(issuer)
        is_local = parts.scheme == "http" and parts.hostname in {"localhost", "127.0.0.1", "::1"}
        if not parts.hostname or not (parts.scheme == "https" or is_local):
            raise ValueError("the issuer is an https address: what it says is trusted")
        if parts.query or parts.fragment or "@" in parts.netloc:
            raise ValueError("the issuer is an address without a query, a fragment or a user")
        return issuer

    @field_validator("oidc_scopes")
    @classmethod
    def _scopes_have_openid(cls, scopes: list[str]) -> list[str]:
        if "openid" not in scopes:
            raise ValueError("'openid' has to be among the scopes")
        return scopes

    @field_validator("channels", mode="before")
    @classmethod
    def _channels_have_one_shape(cls, channels: object) -> object:
        for name, channel in channels.items() if isinstance(channels, dict) else ():
            parts = channel if isinstance(channel, dict) else {}
            is_mirrored = parts.keys() == {"url", "mirror"}
            is_known = isinstance(channel, str | MirroredChannel) or is_mirrored
            if not is_known or not all(isinstance(part, str) for part in parts.values()):
                raise ValueError(
                    f"channel {name!r} is an address, or has two: the one in locks and where it is"
                    ' fetched, {"url": "https://…", "mirror": "https://…"}'
                )
        return channels

    @field_validator("channels")
    @classmethod
    def _channels_are_addresses(
        cls, channels: dict[str, str | MirroredChannel]
    ) -> dict[str, str | MirroredChannel]:
        found: dict[str, str | MirroredChannel] = {}
        fetched: dict[str, str] = {}
        for name, channel in channels.items():
            if isinstance(channel, str):
                found[name] = url = mirror = _channel_address(name, channel)
            else:
                url = _channel_address(name, channel.url)
                mirror = _channel_address(name, channel.mirror)
                found[name] = MirroredChannel(url=url, mirror=mirror)
                if not _IDENTITY.fullmatch(url) or _USUAL_PORT.match(url):
                    raise ValueError(
                        f"the 'url' of channel {name!r} is in locks, and written there in one way:"
                        " small letters in the host, no port that is the usual one, no '%' and no"
                        " '..'"
                    )
            if fetched.setdefault(url, mirror) != mirror:
                raise ValueError(f"{url} is named twice, with different mirrors: take one out")
        return found

    @field_validator("pypi_index")
    @classmethod
    def _index_is_an_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.netloc or "@" in parts.netloc:
            raise ValueError("the index of PyPI needs an http or https URL without a user")
        if without_credentials(f"{url}/") != f"{url}/":
            raise ValueError("the address of the index of PyPI holds a token, which would be shown")
        return url.rstrip("/")

    @field_validator("private_networks", "webhook_networks")
    @classmethod
    def _networks_are_networks(cls, networks: list[str]) -> list[str]:
        return [str(ip_network(network)) for network in networks]

    @field_validator("smtp")
    @classmethod
    def _mail_server_is_one(cls, smtp: SecretStr | None) -> SecretStr | None:
        if smtp is not None and not _SMTP.fullmatch(smtp.get_secret_value()):
            # Not what it is: it has a password.
            raise ValueError("mail is handed over at smtp://USER:PASSWORD@HOST:PORT, or smtps://…")
        return smtp

    @field_validator("mail_from")
    @classmethod
    def _mail_has_a_sender(cls, address: str | None) -> str | None:
        if address is not None and not _MAIL.fullmatch(address):
            raise ValueError(f"{address!r} is not an address of mail, as pullforge@example.org is")
        return address

    @model_validator(mode="after")
    def _mail_settings_are_two(self) -> "Settings":
        if (self.smtp is None) != (self.mail_from is None):
            raise ValueError("PULLFORGE_SMTP and PULLFORGE_MAIL_FROM go together")
        return self

    @field_validator("conda_store_path")
    @classmethod
    def _conda_store_has_a_place(cls, path: str) -> str:
        path = path.rstrip("/")
        if path and (not _PATH.fullmatch(path) or path.split("/")[1] in _OWN_PATHS):
            raise ValueError(
                f"{path!r} cannot be where conda-store's wire is: write another path, such as"
                " /conda-store, or nothing; for the root there is PULLFORGE_CONDA_STORE_AT_ROOT"
            )
        return path

    @field_validator("conda_store_ui")
    @classmethod
    def _interface_is_there(cls, directory: Path | None) -> Path | None:
        for name in ("main.js", "main.css") if directory is not None else ():
            if directory is not None and not (directory / name).is_file():
                raise ValueError(
                    f"there is no {name} in {directory}: name the directory with main.js and"
                    " main.css of conda-store-ui"
                )
        return directory

    @field_validator("conda_store_origins")
    @classmethod
    def _origins_are_hosts(cls, origins: list[str]) -> list[str]:
        for origin in origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"{origin!r} is no origin: write https://HOST or http://HOST:PORT, in small"
                    " letters and without a slash at the end"
                )
        return origins

    @field_validator("channel_credentials")
    @classmethod
    def _credentials_can_be_used(cls, path: Path | None) -> Path | None:
        read_credentials(path)
        return path

    @model_validator(mode="after")
    def _defaults_are_channels(self) -> "Settings":
        for name in self.default_channels:
            if name not in self.channels:
                raise ValueError(f"default channel {name!r} is not among the channels")
        return self

    @model_validator(mode="after")
    def _variables_are_known(self) -> "Settings":
        known = {_PREFIX + name.upper() for name in type(self).model_fields}
        for variable in sorted(os.environ):
            is_known = variable in known or variable.startswith(_OF_PREFIXES)
            if variable.startswith(_PREFIX) and not is_known:
                raise ValueError(f"{variable} is not a setting; docs/settings.md lists them")
        return self
