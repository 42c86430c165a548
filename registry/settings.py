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

from pydantic import ByteSize, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from builder.fetch.channel_credentials import SETTING as _CREDENTIALS
from builder.fetch.channel_credentials import read_credentials
from builder.platforms import Subdir
from builder.records import without_credentials
from builder.spec import parse_user
from registry.storage.location import parse_location

_PREFIX = "PULLFORGE_"
_DATABASE = re.compile(r"postgres(ql)?://[^/]*/[^/?]+(\?.*)?|sqlite:///.*[^/]")


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
    #: The channels that may be used, name to address; image names ask for one by NAME--PACKAGE.
    channels: dict[str, str] = {
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
    #: Where traces are sent, a collector's OTLP over HTTP; ``None``: nothing is recorded.
    traces: str | None = None
    #: How many of the traces that begin here are recorded, 0 to 1.
    traces_ratio: Annotated[float, Field(ge=0, le=1)] = 1
    #: How log lines are written.
    log_format: Literal["json", "console"] = "json"
    #: For how many days ``pullforge env run`` keeps what is not used, which reads this alone.
    run_cache_days: Annotated[int, Field(ge=0, le=100_000)] = 30

    @property
    def broker_url(self) -> str:
        """The address of the broker; for settings that have one."""
        assert self.broker is not None, "there are no workers without a broker"
        return self.broker.get_secret_value()

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

    @field_validator("channels")
    @classmethod
    def _channels_are_addresses(cls, channels: dict[str, str]) -> dict[str, str]:
        for name, url in channels.items():
            is_remote = urlsplit(url).scheme != "file"
            if is_remote and without_credentials(f"{url}/") != f"{url}/":
                raise ValueError(
                    f"the address of channel {name!r} holds credentials: take them out, and write"
                    f" them into the file of {_CREDENTIALS}, as docs/operations.md shows"
                )
            if urlsplit(url).scheme not in {"http", "https", "file"}:
                raise ValueError(f"channel {name!r} needs an http, https or file URL, not {url!r}")
        return {name: url.rstrip("/") for name, url in channels.items()}

    @field_validator("pypi_index")
    @classmethod
    def _index_is_an_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.netloc or "@" in parts.netloc:
            raise ValueError("the index of PyPI needs an http or https URL without a user")
        if without_credentials(f"{url}/") != f"{url}/":
            raise ValueError("the address of the index of PyPI holds a token, which would be shown")
        return url.rstrip("/")

    @field_validator("private_networks")
    @classmethod
    def _networks_are_networks(cls, networks: list[str]) -> list[str]:
        return [str(ip_network(network)) for network in networks]

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
            if variable.startswith(_PREFIX) and variable not in known:
                raise ValueError(f"{variable} is not a setting; docs/settings.md lists them")
        return self
