"""``noarch: python`` packages, mapped to a Python (conda's path_actions.py and CEP 20)."""

import re
from dataclasses import dataclass
from typing import Final

from builder.errors import UnsafePackage, UnsupportedPackage
from builder.install.paths import path_fault
from builder.layer import PREFIX, PythonTarget

#: conda's pattern for what is compiled: ``noarch_py_file_re`` in ``path_actions.py``.
_SOURCE: Final = re.compile(r"site-packages/[^\t\n\r\f\v]+\.py")
#: A file name, as rattler allows it: some have spaces.
_COMMAND: Final = re.compile(r"[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]*")
#: Both become Python source: nothing but identifiers and dots may pass.
_DOTTED: Final = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """A command that calls a function: ``pip = pip._internal.cli.main:main``."""

    command: str
    module: str
    function: str

    @property
    def path(self) -> str:
        """Where its script is, relative to the prefix."""
        return f"bin/{self.command}"


def parse_entry_point(label: str, text: str) -> EntryPoint:
    """Return the entry point written as ``command = module:function``.

    >>> parse_entry_point("pip-24-0", "pip = pip.main:main")
    EntryPoint(command='pip', module='pip.main', function='main')

    Raises:
        UnsafePackage: It would write outside ``bin``, or put anything but names into the script.
    """
    command, equals, target = (part.strip() for part in text.partition("="))
    module, colon, function = (part.strip() for part in target.partition(":"))
    # ``extras`` behind the function ("main [cli]") have no meaning once a package is installed.
    function = function.partition("[")[0].strip()
    named = (
        _COMMAND.fullmatch(command)
        and not path_fault(command)
        and _DOTTED.fullmatch(module)
        and _DOTTED.fullmatch(function)
    )
    if not (equals and colon and named):
        raise UnsafePackage(f"package '{label}' has the entry point {text!r}, which is not one")
    return EntryPoint(command, module, function)


def entry_point_script(point: EntryPoint, python: PythonTarget) -> bytes:
    """Return the script of an entry point, as conda and rattler write it."""
    import_name = point.function.split(".")[0]
    return (
        f"#!{PREFIX}/bin/python{python.short}\n"
        "# -*- coding: utf-8 -*-\n"
        "import re\n"
        "import sys\n"
        "\n"
        f"from {point.module} import {import_name}\n"
        "\n"
        "if __name__ == '__main__':\n"
        "    sys.argv[0] = re.sub(r'(-script\\.pyw?|\\.exe)?$', '', sys.argv[0])\n"
        f"    sys.exit({point.function}())\n"
    ).encode()


def installed_path(path: str, python: PythonTarget) -> str:
    """Return where a path of a ``noarch: python`` package is installed.

    >>> python = PythonTarget("3.11.7", "lib/python3.11/site-packages")
    >>> installed_path("site-packages/six.py", python)
    'lib/python3.11/site-packages/six.py'
    >>> installed_path("python-scripts/f2py", python)
    'bin/f2py'
    """
    if path.startswith("site-packages/"):
        return f"{python.site_packages}/{path.removeprefix('site-packages/')}"
    if path.startswith("python-scripts/"):
        return f"bin/{path.removeprefix('python-scripts/')}"
    return path


def is_compiled(path: str) -> bool:
    """Tell whether a path of a ``noarch: python`` package, as in the archive, gets bytecode."""
    return _SOURCE.fullmatch(path) is not None


def bytecode_path(path: str, python: PythonTarget) -> str:
    """Return where the bytecode of an installed module goes (PEP 3147).

    >>> python = PythonTarget("3.11.7", "lib/python3.11/site-packages")
    >>> bytecode_path("lib/python3.11/site-packages/six.py", python)
    'lib/python3.11/site-packages/__pycache__/six.cpython-311.pyc'
    """
    directory, _, name = path.rpartition("/")
    stem = name.removesuffix(".py")
    return f"{directory}/__pycache__/{stem}.cpython-{python.short.replace('.', '')}.pyc"


def need_python(label: str, python: PythonTarget | None) -> PythonTarget:
    """Return ``python``, which a ``noarch: python`` package cannot do without.

    Raises:
        UnsupportedPackage: There is none.
    """
    if python is None:
        raise UnsupportedPackage(
            f"package '{label}' is made of Python modules, but the environment has no Python"
        )
    return python
