import subprocess
import sys

PROGRAM = """
import sys
from builder.lock.conda_lock_models import Lockfile
assert not {"conda_lock", "conda_lock.conda_lock", "dulwich"} & set(sys.modules)
import conda_lock
from conda_lock.lockfile.v1.models import Lockfile as same
assert callable(conda_lock.main)
assert conda_lock.__version__
assert same is Lockfile
"""


def test_models_come_without_the_command_line_and_the_package_is_whole_afterwards() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=60)
