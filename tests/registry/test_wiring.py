import asyncio
import ssl
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
import structlog
import trustme
from pydantic import SecretStr

from builder.build import interpreters as compilers
from builder.errors import SandboxUnavailable
from builder.rules.model import NO_RULES
from builder.sandbox.sandbox import Sandbox, SandboxChoice
from registry.auth import authorities, policy_file
from registry.auth.authorities import trusted_authorities
from registry.catalog.source_records import FileState
from registry.errors import PolicyTextInvalid
from registry.images.processes import LocalProcesses
from registry.policy import advisory_files, files
from registry.settings import Settings, WatchedPath
from registry.telemetry import Metrics
from registry.wiring.policy import open_policies, try_policies
from registry.wiring.services import open_access, open_services
from registry.wiring.stores import open_links, open_store
from tests.registry.accounts import write_policy
from tests.registry.policy.texts import osv_json

pytestmark = pytest.mark.anyio

S3 = Settings(
    store="s3://bucket/prefix",
    s3_endpoint="http://s3.internal:9000",
    s3_access_key_id=SecretStr("key"),
    s3_secret_access_key=SecretStr("secret"),
)


async def test_clients_are_sent_to_the_public_address() -> None:
    changes = {"s3_public_endpoint": "https://s3.example", "s3_link_seconds": 90}
    async with open_links(S3.model_copy(update=changes)) as links:
        assert links is not None
        link = await links.link("blobs/a")
    assert link.startswith("https://s3.example/bucket/prefix/blobs/a?")
    assert "X-Amz-Expires=90" in link
    async with open_links(S3) as links:
        assert links is not None
        assert (await links.link("a")).startswith("http://s3.internal:9000/bucket/prefix/a?")


async def test_nobody_is_sent_elsewhere_for_a_directory_or_when_it_is_switched_off() -> None:
    switched_off = S3.model_copy(update={"redirect_blobs": False})
    for settings in (Settings(store="/var/lib/pullforge"), switched_off):
        async with open_links(settings) as links:
            assert links is None


async def test_policies_and_advisories_are_followed_while_the_service_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(advisory_files, "LOOK_SECONDS", 0.001)
    (tmp_path / "a.toml").write_text("[advisories]")
    (tmp_path / "a.json").write_bytes(osv_json("A-1"))
    settings = Settings(policies=tmp_path, advisories=tmp_path)
    metrics = Metrics()
    with closing(LocalProcesses(1)) as workers:
        async with open_policies(settings, workers, metrics, lambda: 0) as book:
            assert [one.id for one in book.rules(None).advisories[0].advisories] == ["A-1"]
            assert b'pullforge_policy_problems{place="policies"} 0.0' in metrics.render()
            (tmp_path / "a.toml").write_text("[advisory]")
            (tmp_path / "a.json").write_bytes(osv_json("A-2"))
            async with asyncio.timeout(20):
                while not book.problems() or book.advisories[0].id != "A-2":  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
            # What the policy said before holds.
            assert [one.id for one in book.rules(None).advisories[0].advisories] == ["A-2"]
            assert b'pullforge_policy_problems{place="policies"} 1.0' in metrics.render()
        async with open_policies(Settings(), workers, metrics, lambda: 0) as book:
            assert book.rules(None) == NO_RULES


async def test_nothing_opens_with_a_policy_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('mode = "x"')
    settings = Settings(policies=tmp_path)
    with pytest.raises(PolicyTextInvalid, match=r"a\.toml, line 1, mode"):
        await try_policies(settings)
    with closing(LocalProcesses(1)) as workers:
        with pytest.raises(PolicyTextInvalid, match=r"a\.toml, line 1, mode"):
            async with open_policies(settings, workers, Metrics(), lambda: 0):
                pass
        nowhere = Settings(advisories=tmp_path / "nowhere")
        with pytest.raises(PolicyTextInvalid, match="cannot be read"):
            async with open_policies(nowhere, workers, Metrics(), lambda: 0):
                pass


async def test_the_auth_file_is_followed_while_the_service_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy_file, "RELOAD_SECONDS", 0.001)
    path = tmp_path / "auth.toml"
    write_policy(path)
    async with open_access(Settings(auth_file=path)) as access:
        assert access.policy.takes_logins
        write_policy(path, 'private = ["team/**"]')
        async with asyncio.timeout(10):
            while not access.policy.private:  # noqa: ASYNC110 (nobody announces that it was read)
                await asyncio.sleep(0.001)
    async with open_access(Settings()) as access:
        assert not access.policy.takes_logins


async def test_a_place_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="is not a place for a store"):
        async with open_store(Settings(), "ftp://host"):
            pass


def test_whoever_says_which_authorities_to_trust_is_taken_at_their_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "own.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "own.pem"))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    assert len(trusted_authorities().get_ca_certs()) == 1


def test_public_authorities_are_trusted_where_the_machine_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda *_: None)
    authorities._context.cache_clear()
    try:
        assert len(trusted_authorities().get_ca_certs()) > 100
    finally:
        authorities._context.cache_clear()


async def test_a_server_without_a_sandbox_says_so_at_start_and_when_it_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(choice: SandboxChoice) -> Sandbox:
        raise SandboxUnavailable(f"PULLFORGE_SANDBOX={choice} does not work: refused")

    monkeypatch.setattr(compilers, "find_sandbox", find)
    with structlog.testing.capture_logs() as logs:
        async with open_services(Settings(store=str(tmp_path), workers=1)) as services:
            with pytest.raises(SandboxUnavailable, match="refused"):
                await services.checks["sandbox"]()
            monkeypatch.setattr(compilers, "find_sandbox", lambda _: Sandbox("landlock"))
            await services.checks["sandbox"]()
    (said,) = [line for line in logs if line["log_level"] == "error"]
    assert said["reason"] == "PULLFORGE_SANDBOX=auto does not work: refused"


async def test_the_settings_declare_what_is_watched_and_a_server_looks_at_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "envs" / "forecast").mkdir(parents=True)
    (tmp_path / "envs" / "forecast" / "environment.yml").write_text("nothing: of ours\n")
    old = tmp_path / "store" / ".scratch" / "sources" / "7.git"
    old.mkdir(parents=True)
    watched = [
        WatchedPath(path=tmp_path / "envs", namespace="team", removed="archive"),
        WatchedPath(path=tmp_path / "no", namespace="team", patterns=["../{environment}.yml"]),
    ]
    settings = Settings(store=str(tmp_path / "store"), sandbox="none", workers=1, watch=watched)
    with structlog.testing.capture_logs() as logs:
        async with open_services(settings) as services, asyncio.timeout(60):
            assert services.catalog is not None
            files = services.catalog.source_files
            known: Mapping[str, FileState] = {}
            while not known:
                await asyncio.sleep(0.05)
                page = await services.catalog.sources.list(lambda _: True)
                known = await files.known(page.items[0].id) if page.items else {}
            [source] = page.items
    assert (source.name, source.namespace) == ("envs", "team")
    assert (source.removed, source.is_declared) == ("archive", True)
    assert known["forecast/environment.yml"].problem
    assert not old.exists(), "it is of no source that there is"
    [refused] = [log for log in logs if "failed to declare" in log["event"]]
    assert "is no path relative to the source" in refused["why"]
