from collections.abc import Iterator

import pytest

from tests.registry.auth.provider import run_provider


@pytest.fixture(scope="session")
def oidc_issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with run_provider(tmp_path_factory.mktemp("oidc") / "provider.log") as issuer:
        yield issuer
