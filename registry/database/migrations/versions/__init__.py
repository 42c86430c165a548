"""The revisions, one file each, in the order of their numbers."""

from typing import Final

#: The one that the program needs.
HEAD: Final = "0006"
