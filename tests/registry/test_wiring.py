import asyncio
import ssl
from pathlib import Path

import pytest
import structlog
import trustme
from pydantic import SecretStr

from builder.build import interpreters as compilers
from builder.errors import SandboxUnavailable
from builder.sandbox.sandbox import Sandbox, SandboxChoice
from registry.auth import policy_file
from registry.authorities import trusted_authorities
from registry.settings import Settings
from registry.wiring import open_access, open_links, open_services, open_store
from tests.registry.accounts import write_policy

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
    assert len(trusted_authorities().get_ca_certs()) > 100


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
