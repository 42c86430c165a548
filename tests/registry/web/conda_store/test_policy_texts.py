import pytest

from registry.errors import ParameterInvalid
from registry.policy.policy import read_policy
from registry.web.conda_store.policy_texts import policy_text

OWN = """\
description = "ours"  # by hand
[channels]
allowed = ["main"]
only_in = { main = ["ada"] }
[packages]
required = ["tool", { spec = "pip >=1", if = "python" }]
[age]
minimum = "7 days"
"""


def test_what_settings_do_not_say_stays_as_it_is() -> None:
    wanted = {
        "conda_allowed_channels": ["main", "other", "main"],
        "conda_required_packages": ["pip>=1", "library"],
        "conda_included_packages": ["ipykernel"],
    }
    text = policy_text(OWN, wanted)
    assert text is not None
    assert "# by hand" in text
    document = read_policy("x", text).document
    assert document.age is not None
    assert document.channels is not None
    assert document.channels.allowed == ["main", "other"]
    assert document.channels.only_in == {"main": ["ada"]}
    assert document.packages is not None
    required = document.packages.required
    assert [(one.spec, one.condition) for one in required] == [
        ("pip >=1", "python"),
        ("library", None),
    ]
    assert [one.spec for one in document.packages.default] == ["ipykernel"]


def test_an_empty_list_takes_a_rule_out_and_the_policy_with_the_last() -> None:
    nothing: dict[str, list[str]] = {"conda_allowed_channels": [], "conda_required_packages": []}
    text = policy_text(OWN, nothing)
    assert text is not None
    document = read_policy("x", text).document
    assert (document.channels, document.packages) == (None, None)
    assert policy_text(None, nothing) is None
    made = policy_text(None, {"conda_included_packages": ["tool"]})
    assert made is not None
    assert policy_text(made, {"conda_included_packages": []}) is None


def test_what_is_no_package_is_refused() -> None:
    with pytest.raises(ParameterInvalid, match=r"'conda_required_packages\[1\]' is no package"):
        policy_text(None, {"conda_required_packages": ["tool", "a b c d"]})
