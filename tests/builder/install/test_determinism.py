import os
import subprocess
import sys
from pathlib import Path

from builder.layer import PythonTarget

_PROGRAM = """
import os, sys
from pathlib import Path
from builder.bytecode.compiler import Compiler
from builder.sandbox.sandbox import Sandbox
from builder.layer import PythonTarget
from tests.builder.install.layers import assemble_packages, assemble_wheels
from tests.builder.install.test_assemble import DEMO, MODULES
from tests.tiny_wheels import EVERYTHING, TinyWheel
os.umask(int(sys.argv[2], 8))
compiler = Compiler(Path(sys.argv[3]), PythonTarget(sys.argv[5], ""), Sandbox("none"))
for encoding in ("zstd", "gzip"):
    layer = assemble_packages(
        Path(sys.argv[1]), DEMO, MODULES, encoding=encoding, compiler=compiler,
        threads=int(sys.argv[4]),
    )
    print(layer.blob.digest, layer.blob.diff_id, layer.blob.size_bytes)
    layer = assemble_wheels(
        Path(sys.argv[1]), EVERYTHING, TinyWheel("another", files={"another.py": b"y = {1, 2}\\n"}),
        encoding=encoding, compiler=compiler, threads=int(sys.argv[4]),
    )
    print(layer.blob.digest, layer.blob.diff_id, layer.blob.size_bytes)
"""
_ROOT = Path(__file__).parents[3]


def test_time_zone_locale_umask_directory_hash_seed_and_threads_change_nothing(
    tmp_path: Path, python_prefix: Path, host_python: PythonTarget
) -> None:
    surroundings = [
        ({"TZ": "UTC", "LANG": "C", "PYTHONHASHSEED": "0"}, "022", "/", "1"),
        ({"TZ": "Asia/Tokyo", "LANG": "C.UTF-8", "PYTHONHASHSEED": "7"}, "077", "/tmp", "2"),
        ({"TZ": "America/Lima", "LC_ALL": "tr_TR.UTF-8"}, "000", str(tmp_path), "4"),
    ]
    answers = set()
    for number, (environment, umask, directory, threads) in enumerate(surroundings):
        program = [sys.executable, "-c", _PROGRAM, str(tmp_path / str(number)), umask]
        answers.add(
            subprocess.run(
                [*program, str(python_prefix), threads, host_python.version],
                check=True,
                capture_output=True,
                text=True,
                cwd=directory,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(_ROOT), **environment},
            ).stdout
        )
    assert len(answers) == 1
    assert answers.pop().count("sha256:") == 8
