"""Private channels: built from, and what opens them is nowhere but in requests to their hosts."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from conformance.builds.sending import fetch_form, send
from conformance.channel import ChannelPaths
from conformance.clients.server import Server
from conformance.collector import Collector
from conformance.lookalikes import AnacondaOrg, Credentials, PrefixDev
from conformance.lookalikes.channels import Form, SignedChannels
from conformance.oci_client import OciClient, PullFailed, unpack

SECRET = "pf-s3cret-0f1e2d"
WRONG = "pf-wrong-7a6b5c"


@dataclass(frozen=True, slots=True)
class Lock:
    """A way to keep a channel to oneself."""

    channel: type[SignedChannels]
    wanted: Credentials
    #: The entry of the file that opens it, from the secret.
    entry: Callable[[str], dict[str, object]]
    sign_index: bool
    #: What the channel is called in locks; ``""``: its own address.
    identity: str = ""

    def name(self, channel: SignedChannels) -> str:
        """Return what the channel is called in locks."""
        return self.identity or channel.url

    def setting(self, channel: SignedChannels) -> object:
        """Return the address of the channel, or both."""
        return {"url": self.identity, "mirror": channel.url} if self.identity else channel.url

    def told(self, channel: SignedChannels) -> str:
        """Return what errors call it."""
        return "'conda-forge'" + (f" (from {channel.url})" if self.identity else "")


LOCKS = {
    "basic": Lock(
        AnacondaOrg,
        Credentials(basic=("ada", SECRET)),
        lambda secret: {"BasicHTTP": {"username": "ada", "password": secret}},
        sign_index=False,
    ),
    "bearer": Lock(
        PrefixDev,
        Credentials(bearer=SECRET),
        lambda secret: {"BearerToken": secret},
        sign_index=True,
    ),
    "token": Lock(
        AnacondaOrg,
        Credentials(token=SECRET),
        lambda secret: {"CondaToken": secret},
        sign_index=True,
    ),
    "mirror": Lock(
        AnacondaOrg,
        Credentials(basic=("ada", SECRET)),
        lambda secret: {"BasicHTTP": {"username": "ada", "password": secret}},
        sign_index=False,
        identity="https://conda.anaconda.org/conda-forge",
    ),
}


@contextmanager
def serving(
    paths: ChannelPaths, directory: Path, lock: Lock, secret: str, **settings: object
) -> Iterator[tuple[Server, SignedChannels]]:
    """Start a private channel, and a server that has a secret for it."""
    secrets = directory / "secrets"
    secrets.mkdir()
    file = secrets / "credentials.json"
    file.write_text(json.dumps({"127.0.0.1": lock.entry(secret)}))
    forms: tuple[Form, ...] = ("zst", "json") if lock.sign_index else ("shards", "json")
    with (
        lock.channel(
            paths.channel,
            "acme",
            credentials=lock.wanted,
            sign_index=lock.sign_index,
            forms=forms,
        ) as channel,
        Server(
            directory / "store",
            channel.url,
            paths.base,
            {
                "channels": {"conda-forge": lock.setting(channel)},
                "channel_credentials": file,
                "pypi": False,
                "platforms": ["linux-64"],
                "private_networks": ["127.0.0.0/8"],
                **settings,
            },
        ) as server,
    ):
        yield server, channel


def written(secret: str) -> list[bytes]:
    """Return a secret in the forms that it is sent in."""
    pair = base64.b64encode(f"ada:{secret}".encode())
    return [secret.encode(), pair]


def files_with(directory: Path, secret: str) -> list[Path]:
    """Return the files below a directory that hold a secret, but for that which has to."""
    return [
        path
        for path in directory.rglob("*")
        if path.is_file()
        and path.parent.name != "secrets"
        and any(text in path.read_bytes() for text in written(secret))
    ]


@pytest.mark.parametrize("kind", LOCKS)
def test_what_opens_a_channel_is_in_nothing_that_is_made_of_it(
    paths: ChannelPaths, tmp_path: Path, kind: str
) -> None:
    """Whole builds: every form, every file of the store, logs, metrics, traces, layers."""
    with (
        Collector() as collector,
        serving(paths, tmp_path, LOCKS[kind], SECRET, traces=collector.url) as (server, channel),
    ):
        answer = send(server, b'{"specs": ["ca-certificates", "libzlib"]}')
        assert answer.status_code == 201, answer.text
        build = answer.json()
        said = [answer.content, str(answer.headers).encode()]
        build["links"]["cyclonedx"] = build["links"]["sbom"] + "?format=cyclonedx"
        said += [fetch_form(server, build, form) for form in build["links"] if form != "pin"]
        said.append(httpx.get(f"{server.url}/metrics").content)
        with closing(OciClient(server.host, tmp_path / "blobs")) as client:
            image = client.pull(f"build/{build['key']}")
        unpack(image, tmp_path / "root")
        meta = list((tmp_path / "root").rglob("conda-meta/*.json"))
        assert any(LOCKS[kind].name(channel) in path.read_text() for path in meta)
    said.append(repr(collector.spans).encode())
    assert collector.spans
    assert not [data for data in said if any(text in data for text in written(SECRET))]
    assert files_with(tmp_path, SECRET) == []
    # The store would have refused a request that shows a credential.
    stored = [seen for seen in channel.seen if seen.host == channel.STORE_HOST]
    assert {seen.status for seen in stored if seen.method == "GET"} == {200}
    assert not [s for s in stored if SECRET in s.path or "authorization" in s.headers]
    assert any(".conda" in seen.path for seen in stored)


@pytest.mark.parametrize("kind", LOCKS)
def test_credentials_that_do_not_open_it_are_told_and_not_repeated(
    paths: ChannelPaths, tmp_path: Path, kind: str
) -> None:
    """To those who pull, and those who send; it is not to be tried again."""
    with serving(paths, tmp_path, LOCKS[kind], WRONG) as (server, channel):
        answer = send(server, b'{"specs": ["libzlib"]}')
        assert answer.status_code == 422, answer.text
        with (
            closing(OciClient(server.host, tmp_path / "blobs")) as client,
            pytest.raises(PullFailed) as error,
        ):
            client.pull("env/libzlib")
        for sentence in (answer.text, str(error.value)):
            assert (
                f"channel {LOCKS[kind].told(channel)} refuses the credentials that"
                f" PULLFORGE_CHANNEL_CREDENTIALS has for its host ({channel.REFUSAL} "
            ) in sentence
            assert WRONG not in sentence
    assert files_with(tmp_path, WRONG) == []


def test_packages_that_are_refused_later_are_told_with_the_same_file(
    paths: ChannelPaths, tmp_path: Path
) -> None:
    """A token may be taken back while the index is still known."""
    lock = LOCKS["token"]
    with serving(paths, tmp_path, lock, SECRET) as (server, channel):
        name = "acme"
        assert send(server, b'{"specs": ["ca-certificates"]}').status_code == 201
        channel._credentials = Credentials(token="another")  # noqa: SLF001 - taken back
        answer = send(server, b'{"specs": ["libzlib"]}')
        assert answer.status_code == 503, answer.text
        assert (
            f"/{name} answered 401 for it, with the credentials that PULLFORGE_CHANNEL_CREDENTIALS"
            " has for its host"
        ) in answer.text
    assert files_with(tmp_path, SECRET) == []


def test_a_server_over_a_bucket_says_403_of_a_directory_that_is_missing(
    paths: ChannelPaths, tmp_path: Path
) -> None:
    """That can mean either, and is not to be asked for again."""
    with (
        AnacondaOrg(paths.channel, noarch=False, missing=403) as channel,
        Server(
            tmp_path / "store",
            channel.url,
            paths.base,
            {"pypi": False, "private_networks": ["127.0.0.0/8"]},
        ) as server,
    ):
        answer = send(server, b'{"specs": ["libzlib"]}')
        assert answer.status_code == 422, answer.text
        assert "answers 403 Forbidden for noarch/, which is not there or is private" in answer.text


def test_a_channel_of_noarch_alone_can_be_built_from(paths: ChannelPaths, tmp_path: Path) -> None:
    """To conda and rattler, any other directory that is missing is an empty one."""
    (tmp_path / "channel").mkdir()
    (tmp_path / "channel" / "noarch").symlink_to(paths.channel / "noarch")
    with (
        AnacondaOrg(tmp_path / "channel") as channel,
        Server(
            tmp_path / "store",
            channel.url,
            paths.base,
            {"pypi": False, "private_networks": ["127.0.0.0/8"]},
        ) as server,
    ):
        answer = send(server, b'{"specs": ["ca-certificates"]}')
        assert answer.status_code == 201, answer.text
