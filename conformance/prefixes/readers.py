"""Processes that use a link again and again while it is switched, each as jobs of users do."""

import subprocess
from collections import Counter
from pathlib import Path
from typing import Final, Self

from conformance.prefixes.nobody import as_nobody

#: Resolves the link, activates what it leads to and runs Python there, until there is a file that
#: says to end. Whatever fails ends it, with the reason.
_RESOLVING: Final = r"""
set -eu
link=$1 stop=$2 program=$3
while [ ! -e "$stop" ]; do
  prefix=$(readlink -e "$link")
  (
    export CONDA_PREFIX=$prefix PATH=$prefix/bin:$PATH
    for script in "$prefix"/etc/conda/activate.d/*.sh; do . "$script"; done
    exec python -B -c "$program" "$prefix"
  )
done
"""
#: Goes through the link for each file that it wants, and for each program.
_THROUGH: Final = r"""
set -eu
link=$1 stop=$2 program=$3
while [ ! -e "$stop" ]; do
  for path in bin/python conda-meta/history conda-meta/pullforge etc/conda/activate.d; do
    [ -e "$link/$path" ] || { echo "there is no $path" >&2; exit 1; }
  done
  "$link/bin/python" -B -S -c "import sys; print('through', sys.version_info[0])"
done
"""
_END_SECONDS: Final = 60


class Readers:
    """Eight processes that read; a context manager, at whose end none of them has failed."""

    def __init__(self, link: Path, program: str, home: Path, resolving: int = 6, through: int = 2):
        """Prepare them.

        Args:
            link: Of an environment.
            program: What Python runs that is activated; gets the prefix that was meant, and prints
                one line.
            home: A directory for what they print.
            resolving: How many resolve the link first, as those do who want one version.
            through: How many go through it again and again.
        """
        self._stop = home / "stop"
        self._home = home
        scripts = [_RESOLVING] * resolving + [_THROUGH] * through
        self._commands = [
            # What they look at is to be switched meanwhile, however few processors there are.
            [
                "nice",
                "-n",
                "19",
                *as_nobody("bash", "-c", script, "reader", link, self._stop, program),
            ]
            for script in scripts
        ]
        self._processes: list[subprocess.Popen[bytes]] = []
        #: What was printed, and how often.
        self.printed: Counter[str] = Counter()

    def __enter__(self) -> Self:
        """Start them."""
        self._home.mkdir()
        self._home.chmod(0o755)
        for number, argv in enumerate(self._commands):
            with (
                self._file(number, "out").open("wb") as out,
                self._file(number, "err").open("wb") as err,
            ):
                self._processes.append(subprocess.Popen(argv, stdout=out, stderr=err, cwd="/"))
        return self

    def __exit__(self, *_: object) -> None:
        """Have them end after what they are at, and count what they printed."""
        self._stop.touch()
        self._stop.chmod(0o644)
        codes = [process.wait(_END_SECONDS) for process in self._processes]
        said = [self._file(number, "err").read_text() for number in range(len(codes))]
        assert "".join(said) == "", said
        assert set(codes) == {0}, codes
        for number in range(len(codes)):
            self.printed.update(self._file(number, "out").read_text().splitlines())

    def _file(self, number: int, kind: str) -> Path:
        return self._home / f"{number}.{kind}"
