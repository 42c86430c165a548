from typing import Any

import pytest

from registry.errors import ParameterInvalid
from registry.web.conda_store.merging import SETTINGS, checked, defaults_of, merged
from registry.web.conda_store.policy_texts import POLICY_KEYS
from registry.web.conda_store.specifications import Defaults


def test_the_narrower_scope_holds_and_lists_replace_each_other() -> None:
    layers: list[dict[str, Any]] = [
        {"conda_default_packages": ["a", "b"], "conda_command": "conda"},
        {"conda_default_packages": ["c"]},
        {"pypi_default_packages": ["d"], "conda_command": "of an environment", "gone": 1},
    ]
    found = merged(layers, {"conda_platforms": ["noarch"]})
    assert found.keys() == SETTINGS.keys()
    assert found["conda_default_packages"] == ["c"]
    assert found["conda_command"] == "conda"
    assert found["conda_platforms"] == ["noarch"]
    assert defaults_of(layers) == Defaults([], ["c"], ["d"])
    assert not defaults_of([])


@pytest.mark.parametrize(
    ("key", "value", "advice"),
    [
        ("colour", "red", "there is no setting 'colour': there are default_namespace"),
        ("conda_command", "mamba", "of the whole service"),
        ("conda_default_packages", "tool", r"'conda_default_packages' cannot be that"),
        ("conda_default_packages", ["tool", 1], r"'conda_default_packages\[1\]' cannot be that"),
        ("build_artifacts", ["SHOES"], r"'build_artifacts\[0\]' cannot be that"),
        ("conda_channel_alias", None, "cannot be that"),
    ],
)
def test_a_setting_that_is_none_is_refused(key: str, value: object, advice: str) -> None:
    with pytest.raises(ParameterInvalid, match=advice):
        checked({key: value}, is_global=False)


def test_what_is_a_policy_is_a_setting() -> None:
    assert SETTINGS.keys() >= POLICY_KEYS
    sent = {"storage_threshold": 1, "default_uid": None, "build_artifacts": ["YAML"]}
    assert checked(sent, is_global=True) == sent
