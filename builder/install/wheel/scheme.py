"""Where the members of a wheel are installed.

::

    six-1.17.0-py2.py3-none-any.whl           below the prefix, for Python 3.11
    ├── six.py                              → lib/python3.11/site-packages/six.py
    ├── six-1.17.0.dist-info/METADATA       → lib/python3.11/site-packages/six-1.17.0.dist-info/…
    └── six-1.17.0.data/
        ├── purelib/a.py, platlib/a.py      → lib/python3.11/site-packages/a.py
        ├── scripts/a                       → bin/a
        ├── headers/a.h                     → include/python3.11/six/a.h
        └── data/share/a                    → share/a

Source: PyPA's "Binary distribution format", "The .data directory"; sysconfig's ``posix_prefix``.
"""

from collections.abc import Iterable
from typing import Final

from packaging.utils import canonicalize_name

from builder.errors import CorruptPackage, UnsafePackage
from builder.layer import PythonTarget

_PIP: Final = "bin/pip"


def installed_member(path: str, stem: str, python: PythonTarget) -> str:
    """Return where a wheel's member is installed, relative to the prefix.

    Args:
        path: Of the member; has been checked.
        stem: What the wheel's own directories are called, e.g. ``"six-1.17.0"``.
        python: What it is installed for.

    Raises:
        CorruptPackage: The member is below ``.data`` and of no kind that is known.
        UnsafePackage: It would replace what conda notes of its own packages.
    """
    data = f"{stem}.data/"
    if not path.startswith(data):
        return f"{python.site_packages}/{path}"
    kind, _, rest = path.removeprefix(data).partition("/")
    project = canonicalize_name(stem.rpartition("-")[0])
    places = {
        "purelib": f"{python.site_packages}/",
        "platlib": f"{python.site_packages}/",
        "scripts": "bin/",
        "headers": f"include/python{python.short}/{project}/",
        "data": "",
    }
    if kind not in places or not rest:
        raise CorruptPackage(f"package '{stem}' is damaged: it has '{path}', which goes nowhere")
    installed = places[kind] + rest
    if installed.startswith("conda-meta/"):
        raise UnsafePackage(f"package '{stem}' would write '{installed}', which is conda's")
    return installed


def command_paths(points: Iterable[str], stem: str, python: PythonTarget) -> dict[str, str]:
    """Return where the scripts of entry points are, with the path of the entry point of each.

    They are the same, but for pip, whose wheels name the Python that they were built with: every
    installer gives it a command with the version of its own.

    >>> python = PythonTarget("3.11.7", "lib/python3.11/site-packages")
    >>> command_paths(["bin/pip", "bin/pip3.6"], "pip-10.0.1", python)
    {'bin/pip': 'bin/pip', 'bin/pip3.11': 'bin/pip'}
    """
    paths = {path: path for path in points}
    if canonicalize_name(stem.rpartition("-")[0]) == "pip" and _PIP in paths:
        paths = {path: path for path in paths if not path.startswith(f"{_PIP}3.")}
        paths[f"{_PIP}{python.short}"] = _PIP
    return paths


def is_script(path: str, stem: str) -> bool:
    """Tell whether a member is a command, which may have its first line replaced."""
    return path.startswith(f"{stem}.data/scripts/")


def is_module(installed: str, python: PythonTarget) -> bool:
    """Tell whether an installed path gets bytecode."""
    return installed.endswith(".py") and installed.startswith(f"{python.site_packages}/")
