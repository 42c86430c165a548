import pytest

from builder.errors import InputError
from registry.web.conda_store.specifications import (
    Defaults,
    completed,
    read_lockfile,
    read_specification,
)

CODE = "channels:\n- main\ndependencies:\n- tool\nvariables: {}"


def sent_by_interface(description: str, name: str = "notebook") -> str:
    """Return what conda-store's interface sends when an environment is edited."""
    return f"{CODE}\n\ndescription: {description}\nname: {name}\nprefix: null"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("", ""),
        ("undefined", None),
        ("plain", "plain"),
        ("Ada's: the first # and best", "Ada's: the first # and best"),
        ("[draft] of *mine", "[draft] of *mine"),
        ("- one\n- two: three", "- one\n- two: three"),
        ("12", "12"),
        ("null", "null"),
        # As it is written when an environment is made.
        ("''", ""),
        ("'it's fine'", "it's fine"),
        ("'a ''b'''", "a 'b'"),
        ('"a\\tb"', "a\tb"),
        # As programs write YAML.
        ("|\n  one\n  two", "one\ntwo"),
        ("long text\n  goes on", "long text goes on"),
    ],
)
def test_a_description_that_nobody_has_quoted_is_what_was_typed(
    written: str, meant: str | None
) -> None:
    sent = read_specification(sent_by_interface(written))
    assert (sent.name, sent.description) == ("notebook", meant)
    assert b"description" not in sent.data
    assert read_specification(sent.data.decode()).name == "notebook"


@pytest.mark.parametrize("name", ["123", "null", "~x", "@ada", "'quoted'", "a:b"])
def test_a_name_that_nobody_has_quoted_is_what_was_typed(name: str) -> None:
    assert read_specification(sent_by_interface("x", name)).name == name.strip("'")


def test_a_description_cannot_change_what_is_asked_for() -> None:
    told = "x\nname: other\nprefix: null\nextra: true"
    sent = read_specification(sent_by_interface(told))
    assert (sent.name, sent.description) == ("notebook", told)


def test_files_of_programs_are_kept_as_they_are() -> None:
    text = "# mine\nname: notebook\ndescription: 'a: b'\nchannels: [main]\ndependencies: [tool]\n"
    sent = read_specification(text)
    assert (sent.name, sent.description, sent.data) == ("notebook", "a: b", text.encode())
    dumped = "dependencies:\n- tool\ndescription: short\nchannels: [main]\nname: a\nprefix: null\n"
    sent = read_specification(dumped)
    assert (sent.description, sent.data) == ("short", dumped.encode())
    sent = read_specification('{"name": "a", "dependencies": ["tool"], "prefix": null}')
    assert (sent.name, sent.description) == ("a", None)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("", "is empty"),
        ("- a", "no mapping"),
        ("dependencies: {", "is not YAML"),
        ("dependencies: [tool]", "has no name"),
        ("metadata: {}\npackage: []", "'is_lockfile': true"),
        ("name: [a]\ndependencies: [tool]", "text is expected"),
        ("name: a\ndescription: [a]\ndependencies: [tool]", "a description is text"),
        ('{"name": "a", "dependencies": ["\ud800"]}', "characters that are none"),
    ],
)
def test_what_cannot_be_understood_is_refused_in_a_sentence(text: str, advice: str) -> None:
    with pytest.raises(InputError, match=advice):
        read_specification(text)


def test_a_lock_file_needs_no_version() -> None:
    text = "version: 1\nmetadata: {platforms: [linux-64]}\npackage: []\n"
    assert read_lockfile(text, "a", "b").data == text.encode()
    short = read_lockfile(text.removeprefix("version: 1\n"), "a", "undefined")
    assert (short.name, short.description) == ("a", None)
    assert b"version: 1\n" in short.data
    with pytest.raises(InputError, match="no lock file"):
        read_lockfile("name: a\ndependencies: [tool]", "a", None)


def test_settings_fill_what_a_specification_leaves_empty_and_no_more() -> None:
    defaults = Defaults(["main"], ["tool"], ["six"])
    full = b"name: x\nchannels: [other]\ndependencies: [zlib, {pip: [attrs]}]\n"
    assert completed(full, defaults) == full
    filled = completed(b"name: x\nvariables: {A: 1}\n", defaults).decode()
    assert read_specification(filled).name == "x"
    assert filled == (
        "name: x\nvariables:\n  A: 1\nchannels:\n- main\ndependencies:\n- tool\n- pip:\n  - six\n"
    )
    beside = completed(b"name: x\ndependencies: [zlib]\n", Defaults(packages=["tool"]))
    assert beside == b"name: x\ndependencies: [zlib]\n"


def test_a_list_of_no_variables_is_none() -> None:
    """conda-store's interface sends it of an environment that has none."""
    sent = read_specification(sent_by_interface("x").replace("variables: {}", "variables: []"))
    assert b"variables" not in sent.data
