import contextlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import UnsupportedRequirement
from builder.pip_requirements import canonical_pip, pip_requirement


@pytest.mark.parametrize(
    ("texts", "canonical"),
    [
        (["requests"], ("requests",)),
        (["Requests >= 2 , <3"], ("requests<3,>=2",)),
        (["b", "a", "b"], ("a", "b")),
        (["ruamel.yaml", "ruamel_yaml>1"], ("ruamel-yaml>1",)),
        (["a[y,x]", "a[x]"], ("a[x,y]",)),
        (["a>=1", "a<2", "a>=1"], ("a<2,>=1",)),
        (['a; python_version<"3.12"', "a"], ("a", 'a; python_version < "3.12"')),
        (
            ["a ~= 1.4.2", "b==1.*", "c===x", "d==1+cu121"],
            ("a~=1.4.2", "b==1.*", "c===x", "d==1+cu121"),
        ),
        ([], ()),
    ],
)
def test_requirements_have_one_form(texts: list[str], canonical: tuple[str, ...]) -> None:
    assert canonical_pip(texts) == canonical
    assert canonical_pip(texts[::-1]) == canonical
    assert canonical_pip(canonical) == canonical


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("-e .", "is an option of pip"),
        ("-r more.txt", "is an option of pip"),
        ("--index-url https://evil.test", "is an option of pip"),
        ("--hash=sha256:0", "is an option of pip"),
        ("git+https://host/x.git", "is an address"),
        ("git+ssh://host/x.git", "is an address"),
        ("foo @ https://host/foo-1-py3-none-any.whl", "is an address"),
        ("foo @ file:///etc/passwd", "is an address"),
        ("foo@../x", "is an address"),
        ("https://host/foo.whl", "is an address"),
        ("./foo", "is an address"),
        ("/etc/passwd", "is an address"),
        ("../foo-1.0.tar.gz", "is an address"),
        ("foo-1.0.tar.gz", "is an address"),
        ("C:/x", "is an address"),
        ("foo --global-option=x", "is not a requirement"),
        ("foo >= 1 # why", "contains what no requirement"),
        ("foo; os_name == '${HOME}'", "contains what no requirement"),
        ("foo\n--index-url x", "contains what no requirement"),
        ("foo \\", "contains what no requirement"),
        ("fóo", "contains what no requirement"),
        ("a" * 501, "contains what no requirement"),
        ("", "is not a requirement"),
        ("foo bar", "is not a requirement"),
        ("foo=1", "is not a requirement"),
        ("foo>=x", "is not a requirement"),
        ("foo; nonsense == 1", "is not a requirement"),
    ],
)
def test_what_leads_elsewhere_than_to_a_wheel_of_the_index_is_refused(
    text: str, fault: str
) -> None:
    with pytest.raises(UnsupportedRequirement) as caught:
        canonical_pip(["fine", text])
    assert fault in caught.value.message
    assert len(caught.value.message) < 300


def test_too_many_requirements_are_refused() -> None:
    with pytest.raises(UnsupportedRequirement, match="more than 1000 requirements"):
        canonical_pip(f"p{number}" for number in range(2000))


def test_a_requirement_is_made_of_a_name_and_conditions() -> None:
    assert pip_requirement("Foo", []) == "foo"
    with pytest.raises(UnsupportedRequirement, match=r"'>=2\+cu1' is no condition on"):
        pip_requirement("foo", [">=2+cu1"])
    with pytest.raises(UnsupportedRequirement):
        pip_requirement("foo", ["@ https://host/x.whl"])


PIECES = st.sampled_from(
    [
        "a",
        "B.c",
        "[x]",
        ">=1",
        ",",
        " ",
        ";",
        'os_name=="nt"',
        "@",
        "http://h",
        "-e",
        "#",
        "$",
        "\n",
        "/",
    ]
)


@given(st.lists(st.lists(PIECES, max_size=6).map("".join) | st.text(max_size=20), max_size=4))
def test_whatever_is_let_through_is_one_line_of_known_characters(texts: list[str]) -> None:
    with contextlib.suppress(UnsupportedRequirement):
        canonical = canonical_pip(texts)
        assert canonical_pip(canonical) == canonical
        shuffled = [*texts, *texts]
        random.Random(0).shuffle(shuffled)
        assert canonical_pip(shuffled) == canonical
        for line in canonical:
            assert line.isascii()
            assert line.isprintable()
            assert not set(line) & set("@#$\\")
            assert line[0].isalnum()
