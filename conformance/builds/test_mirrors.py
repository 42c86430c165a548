"""One channel, fetched from several mirrors: what is made is the same."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from conformance.builds.sending import digest, fetch_form, send
from conformance.channel import ChannelPaths
from conformance.channel.server import ChannelServer
from conformance.clients.engines.program import run
from conformance.clients.server import Server

#: What locks name; nothing asks it.
FORGE: Final = "https://conda.anaconda.org/conda-forge"
NAMES: Final = ("ca-certificates", "libzlib")
WISHES: Final = b'{"specs": ["ca-certificates", "libzlib"], "platforms": ["linux-64"]}'
FORMS: Final = ("lock", "environment.yml", "pixi.lock", "explicit")
_REQUIREMENTS: Final = Path(__file__).with_name("mirror_requirements.txt")


@pytest.fixture(scope="module")
def copied(channel: ChannelServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what the program conda-mirror makes of the channel: a part of it, other files."""
    home = tmp_path_factory.mktemp("conda-mirror")
    install = ["pip", "install", "--require-hashes", "--no-deps", f"--target={home / 'program'}"]
    _run(sys.executable, "-m", "uv", *install, f"--requirements={_REQUIREMENTS}")
    chosen = "".join(f"- name: {name}\n" for name in NAMES)
    (home / "chosen.yml").write_text(f"blacklist:\n- name: '*'\nwhitelist:\n{chosen}")
    for subdir in ("linux-64", "noarch"):
        _run(
            *(sys.executable, "-c", "from conda_mirror.conda_mirror import cli; cli()"),
            *("--upstream-channel", channel.url, "--platform", subdir, "--no-progress"),
            *("--target-directory", home / "mirror", "--temp-directory", home),
            *("--config", home / "chosen.yml"),
            PYTHONPATH=str(home / "program"),
        )
    return home / "mirror"


def _run(*argv: str | Path, **environ: str) -> None:
    outcome = run(argv, env=environ, timeout_seconds=600)
    assert outcome.returncode == 0, outcome.output


@contextmanager
def serving(paths: ChannelPaths, store: Path, channel: object) -> Iterator[Server]:
    """Start a server that calls a channel ``conda-forge``."""
    settings = {"channels": {"conda-forge": channel}, "pypi": False, "platforms": ["linux-64"]}
    with Server(store, "", paths.base, settings) as server:
        yield server


def built(server: Server, data: bytes = WISHES) -> tuple[str, str, dict[str, bytes]]:
    """Return key, digest and forms of what is sent."""
    answer = send(server, data)
    assert answer.is_success, answer.text
    build: dict[str, Any] = answer.json()
    forms = {form: fetch_form(server, build, form) for form in FORMS}
    return build["key"], digest(server, build["key"]), forms


def test_whatever_the_mirror_is_key_image_and_forms_are_the_same(
    paths: ChannelPaths, channel: ChannelServer, copied: Path, tmp_path: Path
) -> None:
    """A whole copy on a server, a part by another program on another one, and a directory."""
    found: list[tuple[str, str, dict[str, bytes]]] = []
    with ChannelServer(copied) as other:
        for mirror in (channel.url, other.url, copied.as_uri()):
            store = tmp_path / str(len(found))
            with serving(paths, store, {"url": FORGE, "mirror": mirror}) as server:
                found.append(built(server))
        assert any(path.endswith(".conda") for path in other.requests())

    assert found[0] == found[1] == found[2]
    for form in found[0][2].values():
        assert FORGE.encode() in form
        assert b"127.0.0.1" not in form


def test_a_server_may_change_its_mirror(
    paths: ChannelPaths, channel: ChannelServer, copied: Path, tmp_path: Path
) -> None:
    """What is locked stays, and is made again from the new one; a lock comes from elsewhere."""
    with serving(paths, tmp_path / "a", {"url": FORGE, "mirror": channel.url}) as server:
        before = built(server)
    mirrored = {"url": FORGE, "mirror": copied.as_uri()}
    with serving(paths, tmp_path / "a", mirrored) as server:
        assert built(server) == before
    with serving(paths, tmp_path / "b", mirrored) as server:
        assert built(server, before[2]["lock"]) == before


def test_what_named_its_mirror_keeps_its_name_when_that_moves(
    paths: ChannelPaths, copied: Path, tmp_path: Path
) -> None:
    """The way of an installation that is older than mirrors."""
    with ChannelServer(copied) as old:
        with serving(paths, tmp_path / "a", old.url) as server:
            before = built(server)
        address = old.url
    moved = {"url": address, "mirror": copied.as_uri()}
    with serving(paths, tmp_path / "b", moved) as server:
        assert built(server, before[2]["lock"]) == before
