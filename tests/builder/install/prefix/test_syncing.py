import os
from pathlib import Path

import pytest

from builder.install.prefix.syncing import sync_file_system


def test_a_directory_is_synced_by_its_path_or_open(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    sync_file_system(tmp_path)
    file = os.open(tmp_path, os.O_RDONLY)
    sync_file_system(file)
    os.close(file)
    with pytest.raises(OSError, match="Bad file descriptor"):
        sync_file_system(file)
