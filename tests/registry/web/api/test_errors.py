from builder.errors import BuilderError
from registry.errors import RegistryError
from registry.requests.status import Failure
from registry.web.api.errors import STATUSES, status_of
from tests.registry.web.distribution.test_errors import family


def test_every_error_has_a_status_and_nothing_else_has() -> None:
    public = {
        kind
        for kind in [*family(BuilderError), *family(RegistryError)]
        if kind.__module__ in {"builder.errors", "registry.errors"}
    }
    assert set(STATUSES) == public


def test_what_the_sender_can_mend_is_no_error_of_the_server() -> None:
    for kind, status in STATUSES.items():
        if issubclass(kind, BuilderError):
            assert (status >= 500 or status == 429) == kind.transient, kind


def test_an_error_that_a_module_keeps_to_itself_counts_as_its_base() -> None:
    class Private(BuilderError):
        pass

    assert Failure.of(Private("x")).kind == "BuilderError"
    assert status_of(Failure.of(Private("x"))) == 422
