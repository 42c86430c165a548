import pytest

from builder.errors import PolicyRefused
from builder.rules.applying import applied
from builder.rules.match_spec import parse_match_spec
from builder.rules.model import (
    Author,
    BaseRule,
    ChannelRule,
    DeniedRule,
    Exemption,
    PlatformRule,
    PypiRule,
    RequiredRule,
    Rules,
)
from builder.spec import Channel, EnvironmentSpec

COMPANY = Author("company", contact="it@example.org")
WARNING = Author("advice", "warn")
MAIN, BIO, ODD = (Channel(name, f"https://conda.example/{name}") for name in ("main", "bio", "odd"))


def spec(
    *wanted: str,
    channels: tuple[Channel, ...] = (ODD, BIO, MAIN),
    pip: tuple[str, ...] = (),
    base: str | None = "docker.io/library/debian:12",
    every_platform: bool = False,
) -> EnvironmentSpec:
    return EnvironmentSpec(
        tuple(sorted(parse_match_spec(text) for text in wanted)),
        channels,
        ("linux-64", "linux-aarch64"),
        (),
        base=base,
        pip=pip,
        every_platform=every_platform,
    )


def refused(wanted: EnvironmentSpec, rules: Rules) -> str:
    with pytest.raises(PolicyRefused) as caught:
        applied(wanted, rules)
    return caught.value.message


def test_no_rules_leave_a_specification_as_it_is() -> None:
    assert applied(spec("numpy"), Rules()).spec == spec("numpy")


def test_channels_are_those_allowed_in_the_order_of_the_policy() -> None:
    rules = Rules(channels=(ChannelRule(COMPANY, ("main", "bio", "more")),))
    assert applied(spec("numpy"), rules).spec.channels == (MAIN, BIO)
    rules = Rules(channels=(*rules.channels, ChannelRule(Author("other"), ("bio", "main"))))
    assert applied(spec("numpy"), rules).spec.channels == (MAIN, BIO)
    rules = Rules(channels=(*rules.channels, ChannelRule(Author("third"), ("bio",))))
    assert applied(spec("numpy"), rules).spec.channels == (BIO,)


def test_a_channel_that_is_asked_for_and_not_allowed_is_refused() -> None:
    rules = Rules(channels=(ChannelRule(COMPANY, ("main",)),))
    assert refused(spec("odd::tool"), rules) == (
        "tool is not allowed by policy 'company': channel 'odd' is none of those that are allowed:"
        " main; ask it@example.org"
    )
    assert "channel 'odd'" in refused(spec("tool", channels=(ODD,)), rules)
    waived = Rules(channels=rules.channels, exemptions=(Exemption(1, "odd::tool ==1"),))
    assert applied(spec("odd::tool"), waived).spec.channels == (MAIN, ODD)
    other = Rules(channels=rules.channels, exemptions=(Exemption(1, "odd::tool", policy="x"),))
    assert "channel 'odd'" in refused(spec("odd::tool"), other)


def test_what_is_required_and_what_is_there_by_default_is_added_with_its_reason() -> None:
    rules = Rules(
        required=(
            RequiredRule(COMPANY, "tzdata", reason="dates"),
            RequiredRule(COMPANY, "python >=3.10"),
            RequiredRule(COMPANY, "certs >=2", is_default=True),
            RequiredRule(COMPANY, "numpy >=2", is_default=True),
            RequiredRule(WARNING, "advised"),
            RequiredRule(COMPANY, "pip", "python"),
        )
    )
    found = applied(spec("numpy <2", "python"), rules)
    assert [str(wanted) for wanted in found.spec.requirements] == [
        "certs >=2",
        "numpy <2",
        "python",
        "python >=3.10",
        "tzdata",
    ]
    assert [addition.sentence for addition in found.additions] == [
        "tzdata is added by policy 'company': dates",
        "python >=3.10 is added by policy 'company'",
        "certs >=2 is added by policy 'company'",
    ]
    assert [rule.spec for rule in found.conditional] == ["pip"]
    again = applied(found.spec, rules)
    assert again.spec == found.spec
    assert again.additions == ()


def test_platforms_that_are_not_allowed_are_left_out_unless_all_are_wanted() -> None:
    rules = Rules(platforms=(PlatformRule(COMPANY, ("linux-64",)),))
    found = applied(spec("numpy"), rules)
    assert found.spec.platforms == ("linux-64",)
    assert [one.platform for one in found.warnings] == ["linux-aarch64"]
    assert "it is for linux-aarch64" in refused(spec("numpy", every_platform=True), rules)
    none = Rules(platforms=(PlatformRule(COMPANY, ("linux-64",)), PlatformRule(COMPANY, ("x",))))
    assert "it is for linux-64" in refused(spec("numpy"), none)


@pytest.mark.parametrize(
    ("allowed", "base", "fine"),
    [
        (("docker.io/library/debian:*",), "debian:12", True),
        (("docker.io/library/debian:12",), "docker.io/library/debian:13", False),
        (("none",), None, True),
        (("docker.io/library/debian:*",), None, False),
        (("none",), "debian:12", False),
    ],
)
def test_bases_are_compared_with_all_their_parts(
    allowed: tuple[str, ...], base: str | None, fine: bool
) -> None:
    rules = Rules(bases=(BaseRule(COMPANY, allowed),))
    if fine:
        applied(spec("numpy", base=base), rules)
    else:
        assert "base image" in refused(spec("numpy", base=base), rules)


def test_names_of_which_no_version_is_allowed_are_refused_at_once() -> None:
    denied = DeniedRule(COMPANY, "left-pad", reason="withdrawn")
    assert refused(spec("left-pad"), Rules(denied=(denied,))) == (
        "left-pad is not allowed by policy 'company': 'left-pad' is denied (withdrawn); ask"
        " it@example.org"
    )
    applied(spec("left-pad"), Rules(denied=(DeniedRule(COMPANY, "left-pad <1"),)))
    applied(spec("left-pad"), Rules(denied=(DeniedRule(COMPANY, "left-pad", "pypi"),)))
    waived = Rules(denied=(denied,), exemptions=(Exemption(1, "left-pad ==1"),))
    applied(spec("left-pad"), waived)
    off = Rules(pypi=(PypiRule(COMPANY, is_allowed=False),))
    assert refused(spec(pip=("six>=1",)), off) == (
        "six is not allowed by policy 'company': packages of PyPI are not allowed; ask"
        " it@example.org"
    )
    some = Rules(pypi=(PypiRule(COMPANY, projects=("requests",)),))
    assert "only requests" in refused(spec(pip=("six",)), some)
    applied(spec(pip=("requests[socks]>=2",)), some)


def test_rules_that_only_warn_change_nothing_and_are_told() -> None:
    rules = Rules(
        channels=(ChannelRule(WARNING, ("main",)),),
        bases=(BaseRule(WARNING, ("none",)),),
        platforms=(PlatformRule(WARNING, ("linux-64",)),),
        denied=(DeniedRule(WARNING, "numpy"),),
        pypi=(PypiRule(WARNING, is_allowed=False),),
        required=(RequiredRule(WARNING, "tzdata"),),
    )
    wanted = spec("numpy", pip=("six",))
    found = applied(wanted, rules)
    assert found.spec == wanted
    assert [one.kind for one in found.warnings] == [
        "platforms",
        "channels",
        "channels",
        "bases",
        "pypi",
        "packages",
    ]
    assert found.warnings[-1].sentence == ("numpy is against policy 'advice': 'numpy' is denied")
