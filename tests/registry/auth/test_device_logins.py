import pytest

from registry.auth.device_logins import new_user_code, read_user_code, shown_user_code


@pytest.mark.parametrize("typed", ["bcdf ghjk", "BCDF-GHJK", " BCDFGHJK\n"])
def test_a_code_is_read_as_people_type_it(typed: str) -> None:
    assert read_user_code(typed) == "BCDFGHJK"


@pytest.mark.parametrize("typed", ["", "BCDFGHJ", "BCDFGHJKL", "ABCDEFGH", "BCDFGHJK" * 50])
def test_what_can_be_no_code_is_none(typed: str) -> None:
    assert read_user_code(typed) is None


def test_a_code_that_is_made_is_one_that_is_read() -> None:
    code = new_user_code()
    assert read_user_code(shown_user_code(code)) == code
