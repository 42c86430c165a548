"""Which files of an environment the compiler makes: bytecode that no package brings."""

from collections.abc import Iterator

from builder.install.contents import PackageContents
from builder.install.layout import Destinations
from builder.install.noarch import bytecode_path, installed_path, is_compiled
from builder.install.wheel.contents import WheelContents
from builder.install.wheel.scheme import installed_member, is_module
from builder.layer import LayerPackage, PythonTarget


def compiled_paths(
    package: LayerPackage, contents: PackageContents | WheelContents, python: PythonTarget
) -> frozenset[str]:
    """Return where the bytecode of a package's modules is, relative to the prefix.

    A module that does not compile has none there; what the package brings itself is left out.

    Raises:
        PackageError: It cannot be installed.
    """
    modules = dict(
        _modules_of_wheel(contents, python)
        if isinstance(contents, WheelContents)
        else _modules_of_package(contents, python)
    )
    destinations = Destinations(package, contents.label)
    found: set[str] = set()
    for installed, bytecode in modules.items():
        destination = destinations.of(bytecode)
        if destination is not None and not destinations.leaves_out(installed):
            found.add(destination)
    return frozenset(found)


def _modules_of_package(
    contents: PackageContents, python: PythonTarget
) -> Iterator[tuple[str, str]]:
    """Yield where modules are installed, each with where its bytecode goes."""
    if not contents.is_noarch_python:
        return
    paths = set(contents.paths)
    for path in contents.paths:
        if is_compiled(path) and bytecode_path(path, python) not in paths:
            installed = installed_path(path, python)
            yield installed, bytecode_path(installed, python)


def _modules_of_wheel(contents: WheelContents, python: PythonTarget) -> Iterator[tuple[str, str]]:
    installed = {installed_member(path, contents.stem, python) for path in contents.paths}
    for path in installed:
        if is_module(path, python):
            bytecode = bytecode_path(path, python)
            if bytecode not in installed:
                yield path, bytecode
