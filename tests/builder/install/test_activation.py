import json
import time

import pytest

from builder.install.activation import (
    in_order,
    is_activation,
    is_link_script,
    parse_exports,
    parse_variables,
    read_activation,
)
from builder.install.package_info import PackageInfo, PackagePath


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("", {}),
        ("# a comment\n\n", {}),
        ("#!/bin/sh\nexport A=1\n", {"A": "1"}),
        ("export A='b c'\n  export B=\"d e\"\n", {"A": "b c", "B": "d e"}),
        ("export A=", {"A": ""}),
        ('export A=""', {"A": ""}),
        ("export A=$CONDA_PREFIX/share", {"A": "/opt/conda/share"}),
        ('export A="${CONDA_PREFIX}/share"', {"A": "/opt/conda/share"}),
        ("export A=x\nexport A=y", {"A": "y"}),
        ("export A=a'b c'\"d 'e\"", {"A": "ab cd 'e"}),
        ("export A='x'\"$CONDA_PREFIX\"", {"A": "x/opt/conda"}),
    ],
)
def test_a_script_of_plain_exports_gives_its_variables(
    script: str, expected: dict[str, str]
) -> None:
    assert parse_exports(script) == expected


@pytest.mark.parametrize(
    "script",
    [
        "A=1",
        "export A",
        "export A=1 B=2",
        "export A=1; rm -rf /",
        "export A=1 # why",
        "export A=$HOME",
        "export A=$CONDA_PREFIX_1",
        "export A='$CONDA_PREFIX'",
        'export A="$(id)"',
        "export A=`id`",
        "export A=~/x",
        "export A=*",
        "export A=a\\ b",
        "export A='b",
        "if true; then\nexport A=1\nfi",
        "export 1A=1",
        "export A=$B",
        "unset A",
    ],
)
def test_a_script_that_needs_a_shell_gives_none(script: str) -> None:
    assert parse_exports(script) is None


def test_variables_in_json_are_strings_under_names() -> None:
    assert parse_variables('{"A": "1", "B": ""}') == {"A": "1", "B": ""}
    for text in ("", "[]", '{"A": 1}', '{"A B": "1"}', '{"A": "1\\n2"}', '{"": "x"}'):
        assert parse_variables(text) is None


def test_scripts_come_after_json_and_each_in_the_order_of_names() -> None:
    files = {
        "etc/conda/activate.d/b.sh": b"export A=script-b\n",
        "etc/conda/activate.d/a.sh": b"export A=script-a\nexport B=script-a\n",
        "etc/conda/activate.d/c.sh": b"eval x\n",
        "etc/conda/env_vars.d/z.json": json.dumps({"A": "json", "C": "json"}).encode(),
    }
    scripts = ["bin/.p-post-link.sh", "bin/.p-pre-unlink.sh", "bin/p"]
    paths = {path: PackagePath(path, "hardlink") for path in [*files, *scripts]}
    info = PackageInfo({"name": "p"}, paths, None, (), (), has_path_types=True)
    texts, skipped = read_activation(info, files)
    assert texts == {
        "etc/conda/activate.d/a.sh": {"A": "script-a", "B": "script-a"},
        "etc/conda/activate.d/b.sh": {"A": "script-b"},
        "etc/conda/activate.d/c.sh": "eval x\n",
        "etc/conda/env_vars.d/z.json": {"A": "json", "C": "json"},
    }
    assert skipped == ["bin/.p-post-link.sh", "bin/.p-pre-unlink.sh"]
    found = in_order(dict(reversed(texts.items())))
    assert found.variables == {"A": "json", "C": "json"}
    assert [script.path[-5:] for script in found.scripts] == ["/a.sh", "/b.sh", "/c.sh"]
    assert [script.exports for script in found.scripts] == [
        {"A": "script-a", "B": "script-a"},
        {"A": "script-b"},
        None,
    ]


def test_json_that_is_not_variables_is_skipped() -> None:
    info = PackageInfo({"name": "p"}, {}, None, (), (), has_path_types=True)
    path = "etc/conda/env_vars.d/p.json"
    assert read_activation(info, {path: b"[]"}) == ({}, [path])


def test_only_scripts_for_sh_are_read() -> None:
    assert is_activation("etc/conda/activate.d/a.sh")
    assert is_activation("etc/conda/env_vars.d/a.json")
    assert not is_activation("etc/conda/activate.d/a.fish")
    assert not is_activation("etc/conda/activate.d/sub/a.sh")
    assert not is_activation("etc/conda/deactivate.d/a.sh")


def test_link_scripts_are_known_by_their_names() -> None:
    assert is_link_script("bin/.font-ttf-post-link.sh")
    assert is_link_script("bin/.a-pre-link.sh")
    assert not is_link_script("bin/a-post-link.sh")
    assert not is_link_script("share/.a-post-link.sh")


def test_files_that_are_too_many_or_too_much_are_skipped_and_the_rest_is_read() -> None:
    info = PackageInfo({"name": "p"}, {}, None, (), (), has_path_types=True)
    names = [f"etc/conda/activate.d/{number:03}.sh" for number in range(300)]
    many, skipped = read_activation(info, dict.fromkeys(names, b"export A=1\n"))
    assert (list(many), skipped) == (names[:256], names[256:])
    large, skipped = read_activation(info, dict.fromkeys(names, b"#" * 60_000))
    assert (len(large), skipped) == (17, names[17:])
    assert read_activation(info, {names[0]: b"#" * 65_537}) == ({}, [names[0]])
    # Each package may bring as much; an environment may not have as much of all.
    found = in_order(dict.fromkeys(names, "if"))
    assert [script.path for script in found.scripts] == names[:256]
    assert found.skipped == tuple(names[256:])


def test_variables_are_bounded_each_and_all_together() -> None:
    assert parse_exports(f"export A={'x' * 32_768}") == {"A": "x" * 32_768}
    assert parse_exports(f"export A={'x' * 32_769}") is None
    assert parse_variables(json.dumps({"A": "x" * 32_769})) is None
    paths = [f"etc/conda/env_vars.d/{number:02}.json" for number in range(10)]
    found = in_order({path: {f"A{path[-7:-5]}": "x" * 32_000} for path in paths})
    assert (len(found.variables), found.skipped) == (8, tuple(paths[8:]))


@pytest.mark.parametrize("text", ['{"A": "\\ud800"}', '{"A": "x\\udfffy"}'])
def test_a_variable_that_is_not_unicode_is_refused(text: str) -> None:
    assert parse_variables(text) is None


@pytest.mark.parametrize(
    "part",
    [
        *(
            "$",
            "'",
            '"',
            "''",
            '""',
            "'$'",
            "\"'",
            "y",
            " ",
            "\t",
            "\r",
            "$CONDA_PREFIX",
            "export A=",
        ),
        *("export A='$\n", "export A=\n", "\n", "#", "\\", "'\"", "\u2028", "\xa0"),
    ],
)
@pytest.mark.parametrize("start", ["export A='", 'export A="', "export A=", "export ", ""])
def test_hostile_text_is_read_in_the_time_of_its_length(start: str, part: str) -> None:
    text = start + part * (65_000 // len(part))
    begun = time.process_time()
    parse_exports(text)
    parse_exports(f"{text}\n'")
    assert time.process_time() - begun < 0.4
