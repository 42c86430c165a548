import contextlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.pypi.requirement import canonical_requirements


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
    assert canonical_requirements(texts) == canonical
    assert canonical_requirements(texts[::-1]) == canonical
    assert canonical_requirements(canonical) == canonical


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("-e .", "is an option of pip"),
        ("-r more.txt", "is an option of pip"),
        ("--index-url https://evil.test", "is an option of pip"),
        ("--hash=sha256:0", "is an option of pip"),
        ("git+https://host/x.git", "is an address or a path"),
        ("git+ssh://host/x.git", "is an address or a path"),
        ("foo @ https://host/foo-1-py3-none-any.whl", "is an address or a path"),
        ("foo @ file:///etc/passwd", "is an address or a path"),
        ("foo@../x", "is an address or a path"),
        ("https://host/foo.whl", "is an address or a path"),
        ("./foo", "is an address or a path"),
        ("/etc/passwd", "is an address or a path"),
        ("../foo-1.0.tar.gz", "is an address or a path"),
        ("foo-1.0.tar.gz", "is an address or a path"),
        ("foo --global-option=x", "is an option of pip"),
        ("foo >= 1 # why", "is not a requirement"),
        ("foo; os_name == '${HOME}'", "has characters that no requirement"),
        ("foo\n--index-url x", "is not a requirement"),
        ("foo \\", "is not a requirement"),
        ("fóo", "is not a requirement"),
        ("a" * 501, "has 501 characters"),
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
    with pytest.raises(ValueError, match=fault) as caught:
        canonical_requirements(["fine", text])
    assert len(str(caught.value)) < 300


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
    with contextlib.suppress(ValueError):
        canonical = canonical_requirements(texts)
        assert canonical_requirements(canonical) == canonical
        shuffled = [*texts, *texts]
        random.Random(0).shuffle(shuffled)
        assert canonical_requirements(shuffled) == canonical
        for line in canonical:
            assert line.isascii()
            assert line.isprintable()
            assert not set(line) & set("@#$\\")
            assert line[0].isalnum()
