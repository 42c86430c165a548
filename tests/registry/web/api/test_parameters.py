import pytest

from registry.web.api.parameters import wait_seconds


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("wait=10", 10),
        ("Wait = 10", 10),
        ('respond-async, wait="7"', 7),
        ("respond-async;foo=1,wait=3", 3),
        ("wait=0", 0),
        ("wait=26", 25),
        ("wait=999999", 25),
        ("wait=-1", 0),
        ("wait=1e9", 0),
        ("await=5", 0),
        ("respond-async", 0),
        ("", 0),
    ],
)
def test_a_preference_is_read_as_far_as_it_can_be_met(prefer: str, seconds: int) -> None:
    assert wait_seconds({"prefer": prefer}) == seconds
