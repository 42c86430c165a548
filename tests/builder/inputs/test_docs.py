"""The examples of docs/inputs.md are what they say they are."""

import re
from pathlib import Path

from builder.inputs import PackageList
from builder.spec import EnvironmentSpec
from tests.builder.inputs.reading import read, refused

PAGE = (Path(__file__).parents[3] / "docs" / "inputs.md").read_text()
BLOCKS = re.findall(r"^```\w*\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_examples_of_the_page_can_be_read() -> None:
    environment, request, listed, _ = BLOCKS
    assert isinstance(read(environment), EnvironmentSpec)
    assert isinstance(read(request), EnvironmentSpec)
    assert isinstance(read(listed), PackageList)


def test_the_error_of_the_page_is_a_real_one() -> None:
    text = "name: x\n\nchannels:\n- conda-forge\ndependencies:\n- a\n- b\n- c\n- defaults::d\n"
    assert refused(text).message == BLOCKS[-1].strip()
