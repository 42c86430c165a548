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
        assert json.loads(adapter.dump_json(there)) == content


@pytest.mark.parametrize("content", MESSAGES["failures"], ids=lambda content: content["kind"])
def test_a_failure_of_the_version_before_is_raised_as_what_it_was(content: dict[str, Any]) -> None:
    error = Failure(**content).error()
    assert isinstance(error, BuilderError)
    assert type(error).__name__ == content["kind"]
    assert (error.message, error.transient) == (content["message"], content["transient"])
