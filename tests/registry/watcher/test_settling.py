"""When a file that changes is read; times are given, so nothing here waits."""

import pytest

from registry.watcher.settling import MOST_SECONDS, QUIET_SECONDS, Change, Settling


class Clock:
    """Looks at a tree at times that a test says."""

    def __init__(self, *known: str) -> None:
        self.settling = Settling(known)
        self.now = 100.0
        self.tokens: dict[str, object] = {}

    def after(self, seconds: float, **tokens: object) -> list[Change]:
        """Look that much later; a token that is ``None`` removes the file."""
        self.now += seconds
        for name, token in tokens.items():
            self.tokens.pop(name, None)
            if token is not None:
                self.tokens[name] = token
        return self.settling.look(self.tokens, self.now)

    def taken(self, seconds: float, **tokens: object) -> list[Change]:
        """Look, and take all that is due."""
        changes = self.after(seconds, **tokens)
        for change in changes:
            self.settling.take(change)
        return changes

    @property
    def wait(self) -> float | None:
        return self.settling.wait_seconds(self.now)


@pytest.fixture
def clock() -> Clock:
    """Know of one file that was taken."""
    clock = Clock()
    clock.after(0, a=1)
    assert clock.taken(1) == [Change("a", 1)]
    return clock


def test_nothing_is_due_where_nothing_changed(clock: Clock) -> None:
    assert clock.after(0) == clock.after(1000) == []
    assert clock.wait is None


def test_a_change_is_due_when_it_was_quiet(clock: Clock) -> None:
    assert clock.after(1, a=2) == []
    assert clock.wait == pytest.approx(QUIET_SECONDS)
    assert clock.after(QUIET_SECONDS / 2) == []
    assert clock.after(QUIET_SECONDS) == [Change("a", 2)]
    assert clock.wait == 0


def test_a_change_is_due_until_it_is_taken(clock: Clock) -> None:
    clock.after(1, a=2)
    first = clock.after(1)
    assert first == clock.after(1) == [Change("a", 2)]
    clock.settling.take(first[0])
    assert clock.after(1) == []


def test_a_file_that_goes_on_changing_is_due_again_and_again(clock: Clock) -> None:
    """A thousand saves within twenty seconds are ten, and the last one is among them."""
    found: list[Change] = []
    for save in range(1000):
        found += clock.taken(0.02, a=save + 10)
    found += clock.taken(1)
    assert 8 <= len(found) <= 12
    assert found[-1] == Change("a", 1009)
    assert clock.wait is None


def test_a_file_that_is_written_as_it_was_is_no_change(clock: Clock) -> None:
    clock.after(1, a=2)
    assert clock.after(0.1, a=1) == []
    assert clock.wait is None


def test_a_file_that_comes_and_goes_is_no_change(clock: Clock) -> None:
    """As the temporary files of editors do."""
    clock.after(1, swap=1)
    assert clock.after(0.1, swap=None) == []
    assert clock.wait is None


def test_what_is_gone_is_given_time_to_come_back(clock: Clock) -> None:
    """An editor moves the old file away before it writes the new one."""
    assert clock.after(1, a=None) == []
    assert clock.after(MOST_SECONDS / 2, a=2) == []
    assert clock.after(QUIET_SECONDS) == [Change("a", 2)]


def test_what_is_gone_and_stays_so_is_due(clock: Clock) -> None:
    clock.after(1, a=None)
    assert clock.wait == pytest.approx(MOST_SECONDS)
    (change,) = clock.taken(MOST_SECONDS)
    assert change.is_gone
    assert clock.after(1) == []
    clock.after(1, a=1)
    assert clock.after(1) == [Change("a", 1)], "it is new again"


def test_what_is_renamed_is_there_before_it_is_gone(clock: Clock) -> None:
    clock.after(1, a=None, b=1)
    assert clock.taken(QUIET_SECONDS) == [Change("b", 1)]
    assert clock.taken(MOST_SECONDS) == [Change("a", None)]


def test_changes_come_in_the_order_of_paths_and_what_is_gone_behind_them() -> None:
    clock = Clock("gone", "also")
    clock.after(1, z=1, b=1, m=1)
    found = clock.after(MOST_SECONDS)
    assert [change.path for change in found] == ["b", "m", "z", "also", "gone"]


def test_a_text_that_cannot_be_read_is_held_back_once(clock: Clock) -> None:
    clock.after(1, a=2)
    (change,) = clock.after(1)
    assert clock.settling.hold(change, clock.now)
    assert clock.after(QUIET_SECONDS) == []
    assert clock.wait == pytest.approx(MOST_SECONDS - QUIET_SECONDS)
    assert clock.after(MOST_SECONDS) == [change]
    assert not clock.settling.hold(change, clock.now)


def test_the_rest_of_a_text_that_was_held_back_has_a_time_of_its_own(clock: Clock) -> None:
    """The second half comes, and need not wait."""
    clock.after(1, a="half")
    (half,) = clock.after(1)
    clock.settling.hold(half, clock.now)
    assert clock.after(0.5, a="whole") == []
    (whole,) = clock.taken(QUIET_SECONDS)
    assert whole == Change("a", "whole")
    assert clock.wait is None


def test_another_text_that_cannot_be_read_is_held_back_again(clock: Clock) -> None:
    for token in ("half", "three quarters"):
        clock.after(1, a=token)
        (change,) = clock.after(1)
        assert clock.settling.hold(change, clock.now)


def test_what_was_known_before_is_looked_at_and_missed() -> None:
    """After a restart nothing is remembered but the paths."""
    clock = Clock("a", "b")
    clock.after(1, a=1)
    assert clock.taken(QUIET_SECONDS) == [Change("a", 1)]
    assert clock.taken(MOST_SECONDS) == [Change("b", None)]


def test_what_is_forgotten_is_due_again(clock: Clock) -> None:
    clock.settling.forget("a")
    clock.after(1)
    assert clock.after(QUIET_SECONDS) == [Change("a", 1)]
    clock.settling.forget("never seen")
    assert len(clock.after(1)) == 1


def test_ten_thousand_files_are_looked_at_in_no_time() -> None:
    """It is what each look costs, also where nothing has changed."""
    clock = Clock()
    files: dict[str, object] = {f"{number}/environment.yml": number for number in range(10_000)}
    clock.after(1, **files)
    assert len(clock.taken(1)) == 10_000
    assert clock.after(1) == []
