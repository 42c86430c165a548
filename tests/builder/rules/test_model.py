import pytest

from builder.rules.model import (
    NO_RULES,
    Advisory,
    AdvisoryRule,
    Affected,
    AffectedRange,
    AgeRule,
    Author,
    DeniedRule,
    Rules,
)

COMPANY, TEAM = Author("company"), Author("team", "warn", "it@example.org")


def advisory(number: int) -> Advisory:
    ranges = (AffectedRange("0", fixed=f"1.{number}"),)
    return Advisory(f"A-{number:04}", (Affected("pypi", "ä", ranges),), "a\nb", severity="high")


#: More than are written at once.
MANY = tuple(advisory(number) for number in range(1001))


def many(until: int = 5) -> Rules:
    return Rules(
        denied=(DeniedRule(COMPANY, "left-pad"),),
        age=(AgeRule(TEAM, "7 days", until),),
        advisories=(AdvisoryRule(COMPANY, MANY), AdvisoryRule(TEAM, ()), AdvisoryRule(TEAM, MANY)),
    )


@pytest.mark.parametrize("rules", [NO_RULES, many(), Rules(advisories=many().advisories[1:2])])
def test_what_was_written_is_read_as_it_was(rules: Rules) -> None:
    again = Rules.from_json(rules.to_json())
    assert again == rules
    assert (again.digest, again.identity) == (rules.digest, rules.identity)


def test_no_line_has_so_many_advisories_that_others_wait_for_it() -> None:
    first, *lines = many().to_json().split(b"\n")
    assert b"A-0" not in first
    assert max(line.count(b'"A-') for line in lines) <= 200
    assert sum(line.count(b'"A-') for line in lines) == 2 * len(MANY)


@pytest.mark.parametrize("line", [b"[3, []]", b"[-1, []]", b"[0]", b"", b"{"])
def test_lines_that_are_none_are_refused(line: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - what pydantic says is not ours
        Rules.from_json(many().to_json() + b"\n" + line)


def test_a_digest_stands_for_all_rules_and_all_advisories() -> None:
    rules = many()
    assert many().digest == rules.digest
    others = [
        many(until=6),
        Rules(rules.channels, rules.denied, age=rules.age),
        Rules(denied=rules.denied, age=rules.age, advisories=rules.advisories[:2]),
        Rules(denied=rules.denied, age=rules.age, advisories=rules.advisories[::-1]),
        Rules(
            denied=rules.denied,
            age=rules.age,
            advisories=(AdvisoryRule(COMPANY, MANY[:-1]), *rules.advisories[1:]),
        ),
    ]
    assert len({one.digest for one in [*others, rules, NO_RULES]}) == len(others) + 2
    assert others[0].identity == rules.identity, "an age that has moved is the same rule"
    assert NO_RULES.digest == NO_RULES.identity == ""
