import pytest

from registry.clients.token_buckets import TokenBuckets


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def taken(buckets: TokenBuckets, key: bytes, tries: int) -> int:
    return sum(buckets.take(key) == 0 for _ in range(tries))


def test_a_bucket_gives_what_it_holds_and_then_what_comes_back(clock: Clock) -> None:
    buckets = TokenBuckets(10, 60, clock)
    assert taken(buckets, b"a", 50) == 10
    assert buckets.take(b"a") == pytest.approx(1)
    clock.seconds += 3
    assert taken(buckets, b"a", 50) == 3
    clock.seconds += 3600
    assert taken(buckets, b"a", 50) == 10, "no more than it holds"


def test_keys_have_their_own(clock: Clock) -> None:
    buckets = TokenBuckets(10, 60, clock)
    assert [taken(buckets, key, 50) for key in (b"a", b"b")] == [10, 10]


def test_what_is_given_back_can_be_taken_again(clock: Clock) -> None:
    buckets = TokenBuckets(10, 60, clock)
    taken(buckets, b"a", 10)
    buckets.give_back(b"a", 4)
    assert taken(buckets, b"a", 50) == 4


def test_several_are_taken_together_or_not_at_all(clock: Clock) -> None:
    buckets = TokenBuckets(10, 60, clock)
    taken(buckets, b"a", 1)
    assert buckets.take(b"a", 10) == pytest.approx(1)
    assert taken(buckets, b"a", 50) == 9


def test_whoever_took_all_gets_nothing_new_by_coming_from_everywhere(clock: Clock) -> None:
    buckets = TokenBuckets(3, 60, clock)
    attackers = [b"%d" % number for number in range(50_000)]
    for key in attackers:
        taken(buckets, key, 3)
    assert sum(taken(buckets, key, 1) for key in attackers) == 0


def test_others_have_theirs_while_a_thousand_have_taken_all(clock: Clock) -> None:
    buckets = TokenBuckets(3, 60, clock)
    for number in range(1000):
        taken(buckets, b"attacker %d" % number, 10)
    served = sum(taken(buckets, b"other %d" % number, 1) for number in range(1000))
    assert served >= 985
