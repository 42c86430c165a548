import pytest

from registry.content.names import parse_repository, parse_tag
from registry.errors import NameInvalid, TagInvalid

# Measured with docker, podman, skopeo, CRI and BuildKit: docs/clients.md, section 6.
GOOD_NAMES = (
    "env/numpy.pandas",
    "env/python.eq.3.11/numpy.ge.1.26",
    "ruamel.yaml",
    "python-3.11",
    "a__b",
    "a.b-c_d",
    "a--b",
    "a-----b",
    "1",
    "libstdcxx-ng",
    "a/" * 127 + "a",
)
BAD_NAMES = (
    "",
    "a___b",
    "a..b",
    "a._b",
    "a-_b",
    ".a",
    "a.",
    "_a",
    "a_",
    "-a",
    "a-",
    "Env/numpy",
    "a+b",
    "a=b",
    "a~b",
    "a!",
    "a@b",
    "a:b",
    "a b",
    "a//b",
    "/a",
    "a/",
    "a/../b",
    "ä",
    "٣",  # a digit, but not one of ours
    "a\n",
    "a\0",
    "a" * 256,
)


@pytest.mark.parametrize("name", GOOD_NAMES, ids=lambda name: name[:30])
def test_a_name_of_the_grammar_is_taken(name: str) -> None:
    assert parse_repository(name) == name


@pytest.mark.parametrize("name", BAD_NAMES, ids=lambda name: repr(name[:30]))
def test_any_other_name_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(NameInvalid) as caught:
        parse_repository(name)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("tag", ["latest", "2026-11-01", "3.11_cuda12", "_x", "x.", "a" * 128])
def test_a_tag_of_the_grammar_is_taken(tag: str) -> None:
    assert parse_tag(tag) == tag


@pytest.mark.parametrize("tag", ["", ".x", "-x", "a+b", "a=b", "a~b", "a" * 129, "a\n", "ä", "a/b"])
def test_any_other_tag_is_refused(tag: str) -> None:
    with pytest.raises(TagInvalid):
        parse_tag(tag)
