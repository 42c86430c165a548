import pytest

from builder.pypi_requirement import canonical_requirement


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("Requests", "requests"),
        ("  ruamel.yaml >= 0.17 ", "ruamel-yaml>=0.17"),
        ("a<2,>=1", "a<2,>=1"),
        ("a>=1,<2", "a<2,>=1"),
        ("a (>=1)", "a>=1"),
        ("a[Y_2,x]==1.*", "a[x,y-2]==1.*"),
        ("a ; os_name=='nt'", 'a; os_name == "nt"'),
    ],
)
def test_requirements_of_the_same_meaning_have_one_form(text: str, canonical: str) -> None:
    assert canonical_requirement(text) == canonical
    assert canonical_requirement(canonical) == canonical


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("-r requirements.txt", "is an option of pip"),
        ("--index-url=http://evil.example/simple", "is an option of pip"),
        ("-e .", "is an option of pip"),
        ("six --hash=sha256:00", "is an option of pip"),
        ("six @ https://evil.example/six.whl", "is an address or a path"),
        ("six@file:///etc/passwd", "is an address or a path"),
        ("git+https://evil.example/six", "is an address or a path"),
        ("https://evil.example/six.tar.gz", "is an address or a path"),
        ("file:six", "is an address or a path"),
        ("./six", "is an address or a path"),
        ("/six", "is an address or a path"),
        ("~/six", "is an address or a path"),
        ("C:\\six", "is an address or a path"),
        ("six-1.0-py3-none-any.whl", "is an address or a path"),
        ("${INDEX}", "is not a requirement"),
        ("six==", "is not a requirement"),
        ("six=1", "is not a requirement"),
        ("", "is not a requirement"),
        ("a" * 501, "500 are allowed"),
        ("a; " + "(" * 490, "is not a requirement"),
    ],
)
def test_what_is_no_package_of_the_index_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        canonical_requirement(text)
