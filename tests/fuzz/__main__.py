"""``python -m tests.fuzz``: try readers for long, led by what of the code an input has reached.

Needs atheris (``make fuzz`` installs it). What reached something new is kept below ``results/fuzz``
and is where the next run begins; what broke a reader is kept there, too.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from random import Random
from typing import Any, Final

_RESULTS: Final = Path("results/fuzz")
#: The longest input: longer ones teach nothing and are slow.
_MAX_BYTES: Final = 300_000
#: Of memory, in MiB, with all that atheris keeps.
_MAX_MIB: Final = 2048


def main() -> int:
    """Try the readers that are named, or each in its turn; return 1 if any broke."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("readers", nargs="*", help="names; all if there are none")
    parser.add_argument("--seconds", type=int, default=60, help="for each reader")
    parser.add_argument("--first", type=int, help="only read the input of this number, and stop")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.inside:
        return _fuzz(asked.readers[0], asked.seconds)
    from tests.fuzz.readers import BY_NAME  # noqa: PLC0415 - atheris has to be there before

    if asked.first is not None:
        return _again(asked.readers[0], asked.first)
    # One process for each: libFuzzer ends its own.
    broken = []
    for name in asked.readers or BY_NAME:
        print(f"== {name}", flush=True)
        command = [sys.executable, "-m", "tests.fuzz", name, "--inside"]
        if subprocess.run([*command, f"--seconds={asked.seconds}"], check=False).returncode:
            broken.append(name)
    print(f"broken: {', '.join(broken) or 'none'}")
    return 1 if broken else 0


def _again(name: str, number: int) -> int:
    from tests.fuzz.readers import BY_NAME  # noqa: PLC0415 - as above
    from tests.fuzz.runs import changed_input, read_one  # noqa: PLC0415 - as above

    reader = BY_NAME[name]
    with tempfile.TemporaryDirectory() as directory:
        taken = read_one(
            reader, changed_input(reader, reader.seeds(), number), Path(directory), twice=True
        )
    print("taken" if taken else "refused")
    return 0


def _fuzz(name: str, seconds: int) -> int:
    import atheris  # noqa: PLC0415 - only here is it needed

    with atheris.instrument_imports(include=["builder", "registry", "packaging", "zipfile"]):
        from tests.fuzz.readers import BY_NAME  # noqa: PLC0415 - watched while it is read
        from tests.fuzz.runs import read_one  # noqa: PLC0415 - as above
    warnings.simplefilter("ignore")
    reader = BY_NAME[name]
    corpus = _RESULTS / name.replace(" ", "-")
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(reader.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    root = Path(tempfile.mkdtemp())

    def test_one(data: bytes) -> None:
        read_one(reader, data, root)

    def change(data: bytes, max_size: int, seed: int) -> Any:
        return reader.change(data, Random(seed))[:max_size]

    atheris.Setup(
        [
            sys.argv[0],
            *(f"-max_total_time={seconds}", f"-max_len={_MAX_BYTES}", f"-rss_limit_mb={_MAX_MIB}"),
            *("-timeout=20", f"-artifact_prefix={corpus}/", "-print_final_stats=1"),
            *([] if os.environ.get("FUZZ_VERBOSE") else ["-verbosity=0"]),
            str(corpus),
        ],
        test_one,
        custom_mutator=change,
    )
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
