import pytest

from builder.errors import UnsafePackage, UnsupportedPackage
from builder.install.noarch import (
    EntryPoint,
    entry_point_script,
    is_compiled,
    need_python,
    parse_entry_point,
)
from tests.builder.install.layers import PYTHON


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pip = pip._internal:main", EntryPoint("pip", "pip._internal", "main")),
        ("pip3.11=pip:main", EntryPoint("pip3.11", "pip", "main")),
        ("a = b:C.run", EntryPoint("a", "b", "C.run")),
        ("a = b:run [extra]", EntryPoint("a", "b", "run")),
    ],
)
def test_an_entry_point_is_a_command_a_module_and_a_function(
    text: str, expected: EntryPoint
) -> None:
    assert parse_entry_point("p-1-0", text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a = b",
        "= b:c",
        "../a = b:c",
        "a/b = b:c",
        ".a = b:c",
        "a\\b = b:c",
        "a\tb = b:c",
        "a = b/c:d",
        "a = b:c; import os",
        "a = b:c()",
        "a = 1b:c",
        "a = b:c\nimport os",
        "a = b..c:d",
    ],
)
def test_an_entry_point_that_is_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UnsafePackage, match="package 'p-1-0'") as caught:
        parse_entry_point("p-1-0", text)
    assert "\n" not in str(caught.value)


def test_a_command_may_have_spaces_as_with_rattler() -> None:
    assert parse_entry_point("p-1-0", "a b = b:c") == EntryPoint("a b", "b", "c")


def test_the_script_of_an_entry_point_is_that_of_conda() -> None:
    assert entry_point_script(EntryPoint("run", "a.b", "C.run"), PYTHON).decode() == (
        "#!/opt/conda/bin/python3.11\n"
        "# -*- coding: utf-8 -*-\n"
        "import re\n"
        "import sys\n"
        "\n"
        "from a.b import C\n"
        "\n"
        "if __name__ == '__main__':\n"
        "    sys.argv[0] = re.sub(r'(-script\\.pyw?|\\.exe)?$', '', sys.argv[0])\n"
        "    sys.exit(C.run())\n"
    )


def test_only_modules_in_site_packages_get_bytecode() -> None:
    assert is_compiled("site-packages/a/b.py")
    assert not is_compiled("site-packages/a/b.pyi")
    assert not is_compiled("share/a.py")
    assert not is_compiled("python-scripts/a.py")


def test_modules_without_a_python_are_refused() -> None:
    assert need_python("p-1-0", PYTHON) is PYTHON
    with pytest.raises(UnsupportedPackage, match="p-1-0"):
        need_python("p-1-0", None)
