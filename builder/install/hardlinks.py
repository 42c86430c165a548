"""Hard links of a package, kept within its part of the layer.

The first of several names may be left out of the layer, may not be listed by the package, or may
have its prefix replaced differently. Then the first name that is kept becomes the file, with
content that is read from the archive a second time; the others link to it.
"""

from typing import Final, NamedTuple

from builder.errors import CorruptPackage, UnsupportedPackage
from builder.install.archive import PackageArchive, PackageFile
from builder.install.package_info import Relocation

#: Packages with more than one such file are not known; each costs a pass through the archive.
_MAX_SECOND_READINGS: Final = 50


class Written(NamedTuple):
    """Content that is in the layer."""

    destination: str
    #: Where the package does not say it, or the prefix was replaced.
    sha256: str | None
    #: Before the prefix was replaced.
    size_bytes: int


class HardLinks:
    """Knows, while a package is written, which names share their content."""

    def __init__(self, archive: PackageArchive, label: str) -> None:
        self._archive = archive
        self._label = label
        self._roots: dict[str, str] = {}
        self._written: dict[tuple[str, Relocation | None], Written] = {}
        self._symlinks: dict[str, str] = {}
        self._readings = 0

    def note_file(self, path: str, relocation: Relocation | None, written: Written) -> None:
        """Note that the content of the archive's ``path`` is in the layer."""
        self._written[path, relocation] = written

    def note_symlink(self, path: str, target: str) -> None:
        """Note a symlink, which a hard link may name as well."""
        self._symlinks[path] = target

    def root(self, file: PackageFile) -> str:
        """Return the path whose content the hard link ``file`` has; remember the link."""
        root = self._roots.get(file.link, file.link)
        self._roots[file.path] = root
        return root

    def written(self, root: str, relocation: Relocation | None) -> Written | None:
        """Return where that content is in the layer, if it is."""
        return self._written.get((root, relocation))

    def symlink(self, root: str) -> str | None:
        """Return the target if ``root`` is a symlink."""
        return self._symlinks.get(root)

    def read_again(self, root: str, link: str) -> PackageFile:
        """Return the file ``root``, from a second reading of the archive.

        Raises:
            CorruptPackage: There is no such file.
            UnsupportedPackage: The package needs too many of these.
        """
        self._readings += 1
        if self._readings > _MAX_SECOND_READINGS:
            raise UnsupportedPackage(
                f"package '{self._label}' has too many hard links out of order"
            )
        for file in self._archive.files():
            if file.path == root and file.kind == "file":
                return file
        raise CorruptPackage(
            f"package '{self._label}' is damaged: '{link}' is a hard link to '{root}', which is no"
            " file of the package"
        )
