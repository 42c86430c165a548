"""What the version before sent to workers, and what its workers answered, is understood."""

import json
from pathlib import Path
from typing import Any

import pytest

from builder.errors import BuilderError
from registry.images.failure import Failure
from registry.jobs.types import BUILD, CHORE, COMPLETE, FORM, LAYER, SOLVE, TaskType

MESSAGES = json.loads((Path(__file__).parent / "earlier" / "messages.json").read_bytes())
KINDS: tuple[TaskType[Any, Any], ...] = (SOLVE, COMPLETE, BUILD, FORM, CHORE, LAYER)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_message_of_the_version_before_says_the_same(kind: TaskType[Any, Any]) -> None:
    message = MESSAGES[kind.name]
    for adapter, content in ((kind.asked, message["asked"]), (kind.made, message["made"])):
        there = adapter.validate_json(json.dumps(content))
        said = adapter.dump_json(there)
        assert _without_new_fields(json.loads(said), content) == content
        assert adapter.validate_json(said) == there


def _without_new_fields(said: Any, content: Any) -> Any:
    """Return what is said without the fields that the version before did not know."""
    if isinstance(said, dict) and isinstance(content, dict):
        return {key: _without_new_fields(said[key], content[key]) for key in content if key in said}
    if isinstance(said, list) and isinstance(content, list) and len(said) == len(content):
        return [_without_new_fields(*pair) for pair in zip(said, content, strict=True)]
    return said


@pytest.mark.parametrize("content", MESSAGES["failures"], ids=lambda content: content["kind"])
def test_a_failure_of_the_version_before_is_raised_as_what_it_was(content: dict[str, Any]) -> None:
    error = Failure(**content).error()
    assert isinstance(error, BuilderError)
    assert type(error).__name__ == content["kind"]
    assert (error.message, error.transient) == (content["message"], content["transient"])
