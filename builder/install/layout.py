"""Where the paths of one package go, in a layer."""

from posixpath import normpath
from typing import Final

from builder.errors import UnsafePackage
from builder.install.noarch import bytecode_path, installed_path, is_compiled, need_python
from builder.install.package_info import PackageInfo
from builder.layer import PREFIX, LayerPackage, PythonTarget

#: The prefix as a tar has it.
ROOT: Final = PREFIX.removeprefix("/") + "/"
#: More moves than this for one path are a circle.
_MAX_MOVES: Final = 40


class Destinations:
    """Maps installed paths of one package to where they are written.

    What another package has too is left out, and what lies below another package's symlink is
    moved to where the symlink leads.
    """

    def __init__(self, package: LayerPackage, label: str) -> None:
        self._label = label
        self._omit = frozenset(package.omit)
        self._redirects = dict(package.redirects)

    def leaves_out(self, installed: str) -> bool:
        """Tell whether another package has the path too."""
        return installed in self._omit

    def of(self, installed: str) -> str | None:
        """Return where an installed path is written, or ``None`` when it is left out.

        Raises:
            UnsafePackage: Redirections lead in a circle or out of the prefix.
        """
        if installed in self._omit or installed in self._redirects:
            return None
        if not self._redirects:
            return installed
        path = installed
        for _ in range(_MAX_MOVES):
            directory = path.rpartition("/")[0]
            while directory and directory not in self._redirects:
                directory = directory.rpartition("/")[0]
            if not directory:
                return path
            path = normpath(self._redirects[directory] + path[len(directory) :])
            if path.startswith(("../", "/")):
                break
        raise UnsafePackage(
            f"path '{installed}' of package '{self._label}' lies below symlinks that lead nowhere"
        )


class Layout:
    """Maps paths of a package's archive to paths below the prefix.

    First ``noarch: python`` is mapped, then comes what :class:`Destinations` does.

    Raises:
        UnsupportedPackage: The package needs a Python, and there is none.
    """

    def __init__(
        self, package: LayerPackage, info: PackageInfo, python: PythonTarget | None, label: str
    ) -> None:
        #: Where installed paths are written.
        self.destinations = Destinations(package, label)
        self._python = need_python(label, python) if info.noarch == "python" else None
        self._paths = info.paths
        #: By path: of two entry points with one name, conda keeps the later one.
        self.entry_points = {point.path: point for point in info.entry_points}

    @property
    def python(self) -> PythonTarget | None:
        """The Python of a ``noarch: python`` package, ``None`` for all others."""
        return self._python

    def installed(self, path: str) -> str:
        """Return the path as conda would install it."""
        return installed_path(path, self._python) if self._python else path

    def file_destination(self, path: str) -> str | None:
        """Return where a path of the archive is written, or ``None`` when it is left out.

        Conda writes entry points last, over a script of that name, so the script is left out.

        Raises:
            UnsafePackage: Redirections lead in a circle or out of the prefix.
        """
        installed = self.installed(path)
        if path not in self._paths or installed in self.entry_points:
            return None
        return self.destinations.of(installed)

    def bytecode(self, path: str) -> str | None:
        """Return where the bytecode of the module at ``path`` of the archive is installed.

        ``None`` when it gets none: not a module, the package has bytecode itself, or the module or
        its bytecode is left out.
        """
        if self._python is None or not is_compiled(path):
            return None
        if bytecode_path(path, self._python) in self._paths:
            return None
        installed = self.installed(path)
        bytecode = bytecode_path(installed, self._python)
        return None if any(map(self.destinations.leaves_out, (installed, bytecode))) else bytecode
