import time

import pytest

from builder.errors import BaseImageError
from builder.oci.reference import Reference
from builder.oci.tokens import token_of, token_request

DEBIAN = Reference("registry.test", "library/debian", "latest", None)


@pytest.mark.parametrize(
    "realm", ["https://a:b", "https://\x01/", "https://a\xfe\xa1[/", "http://["]
)
def test_a_challenge_with_an_address_that_is_none_is_refused_with_a_sentence(realm: str) -> None:
    with pytest.raises(BaseImageError, match="asks for credentials"):
        token_request(f'Bearer realm="{realm}"', DEBIAN)


def test_a_challenge_is_read_in_the_time_that_its_length_takes() -> None:
    started = time.process_time()
    with pytest.raises(BaseImageError):
        token_request("Bearer " + "a" * 100_000, DEBIAN)
    assert time.process_time() - started < 1


def test_a_token_below_lists_without_end_is_none() -> None:
    assert token_of(b"[" * 100_000) is None
