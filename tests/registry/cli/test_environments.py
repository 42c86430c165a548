import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from typer.testing import CliRunner, Result

from registry.app import create_app
from registry.cli import app
from registry.settings import Settings
from registry.wiring.services import open_services
from tests.registry.web.api.site import Site

OLD = "name: old\nchannels: [main]\ndependencies: [tool=1.0]\n"


def run(*args: str) -> Result:
    result = CliRunner().invoke(app, args)
    assert result.exception is None or isinstance(result.exception, SystemExit), result
    return result


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    site = Site.make(tmp_path)
    for name, value in {
        "STORE": str(site.store),
        "CHANNELS": json.dumps({"main": f"file://{site.channel}"}),
        "DEFAULT_CHANNELS": '["main"]',
        "BASE": f"oci:{site.root / 'base'}",
        "WORKERS": "1",
        "SANDBOX": "none",
    }.items():
        monkeypatch.setenv(f"PULLFORGE_{name}", value)
    (tmp_path / "old.yml").write_text(OLD)
    return site


@pytest.fixture
def server(site: Site) -> Iterator[str]:
    """Run a real server over the store of the site; return where it is."""
    settings = Settings()
    service = create_app(lambda: open_services(settings), access_log=False)
    server = uvicorn.Server(uvicorn.Config(service, port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


def test_a_file_and_its_lock_are_locked_and_built_alike(site: Site, tmp_path: Path) -> None:
    first = run("lock", str(tmp_path / "old.yml"))
    assert first.exit_code == 0, first.output
    (tmp_path / "again.lock").write_text(first.stdout)
    assert run("lock", str(tmp_path / "again.lock")).stdout == first.stdout
    digests = {
        run("build", str(tmp_path / name), "-o", str(tmp_path / f"image-{name}")).stdout
        for name in ("old.yml", "again.lock")
    }
    assert len(digests) == 1
    (digest,) = digests
    assert digest.startswith("sha256:")


def test_a_file_that_cannot_be_read_is_one_sentence(site: Site, tmp_path: Path) -> None:
    (tmp_path / "bad.yml").write_text("dependencies:\n  - tool\n  - a b c d\n")
    result = run("lock", str(tmp_path / "bad.yml"))
    assert result.exit_code == 1
    assert "line 3" in result.stderr
    missing = run("lock", "missing.yml")
    assert missing.exit_code == 2
    assert "there is no file 'missing.yml'" in missing.stderr


def test_a_file_is_pushed_to_a_server(site: Site, server: str, tmp_path: Path) -> None:
    pushed = run("push", str(tmp_path / "old.yml"), "--to", server)
    assert pushed.exit_code == 0, pushed.output
    # The server's log lines come before.
    key, image = pushed.stdout.splitlines()[-2:]
    assert image == f"{server}/build/{key}"
    again = run("push", str(tmp_path / "old.yml"), "--to", f"http://{server}", "--json")
    assert json.loads(again.stdout.splitlines()[-1])["key"] == key
    (tmp_path / "none.yml").write_text("dependencies: [nothing-like-it]\n")
    for _ in range(2):
        refused = run("push", str(tmp_path / "none.yml"), "--to", server)
        assert refused.exit_code == 1
        assert "nothing-like-it" in refused.stderr

    assert run("unpin", key).exit_code == 0
    assert site.files("pins") == []
    assert run("pin", key).exit_code == 0
    assert [path.name for path in site.files("pins")] == [key]
    assert run("lock", key).stdout == run("lock", str(tmp_path / "old.yml")).stdout


def test_a_server_that_is_none_is_one_sentence(site: Site, tmp_path: Path) -> None:
    result = run("push", str(tmp_path / "old.yml"), "--to", "127.0.0.1:1")
    assert result.exit_code == 1
    assert "http://127.0.0.1:1 does not answer" in result.stderr


def test_a_build_that_there_is_not_cannot_be_pinned(site: Site) -> None:
    for key in ("0" * 32, "env/tool"):
        for command in ("pin", "unpin"):
            result = run(command, key)
            assert result.exit_code == 1
            assert f"there is no build '{key}' here" in result.stderr


def test_a_file_and_a_name_are_compared(site: Site, tmp_path: Path) -> None:
    shown = run("diff", str(tmp_path / "old.yml"), "env/tool")
    assert shown.exit_code == 0, shown.output
    assert "tool" in shown.stdout
    assert "library" not in shown.stdout
    assert "linux-64: a node fetches" in shown.stdout
    document = json.loads(run("diff", "--json", str(tmp_path / "old.yml"), "env/tool").stdout)
    (change,) = document["packages"]["linux-64"]
    assert change["after"].startswith("2.0 ")
    same = run("diff", "env/tool", "env/tool:bare")
    assert "linux-64: the same packages" in same.stdout
    assert "base: oci-layout@sha256:" in same.stdout
