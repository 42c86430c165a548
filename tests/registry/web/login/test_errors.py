import pytest

from builder.errors import BuilderError
from registry.errors import LoginRefused, NameTaken, ProviderUnavailable, RegistryError
from registry.web.login.routes import status_of
from tests.registry.web.distribution.test_errors import family


@pytest.mark.parametrize("kind", [*family(BuilderError), *family(RegistryError)])
def test_every_error_has_a_status(kind: type[BuilderError | RegistryError]) -> None:
    assert 400 <= status_of(kind) < 600


def test_what_a_login_comes_to_is_told_apart() -> None:
    assert status_of(LoginRefused) == status_of(NameTaken) == 403
    assert status_of(ProviderUnavailable) == 503
