from builder.errors import BuilderError
from registry.images.failure import ERROR_CODES, Failure
from registry.web.api.errors import failure_status, status_of
from tests.registry.web.distribution.test_errors import family


def test_what_the_sender_can_mend_is_no_error_of_the_server() -> None:
    for kind in family(BuilderError):
        status = status_of(kind)
        assert (status >= 500 or status == 429) == kind.saying("x").transient, kind


def test_every_error_of_the_builder_travels_by_a_code_of_its_own() -> None:
    public = [kind for kind in family(BuilderError) if kind.__module__ == "builder.errors"]
    assert list(ERROR_CODES.values()) == sorted(public, key=list(ERROR_CODES.values()).index)
    assert all(code == kind.__name__ for code, kind in ERROR_CODES.items())


def test_an_error_that_a_module_keeps_to_itself_counts_as_its_base() -> None:
    class Private(BuilderError):
        pass

    assert Failure.of(Private("x")).kind == "BuilderError"
    assert failure_status(Failure.of(Private("x"))) == 422
