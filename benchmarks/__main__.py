"""Measures, prints a table and writes ``benchmarks/results.json``; ``make bench`` runs it.

python -m benchmarks [--short] [--only=first-pull,herd]
"""

import argparse
import json
import sys
import traceback
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks import (
    assembly,
    assembly_memory,
    catalog_build,
    catalog_listing,
    catalog_pages,
    conda_store_import,
    file_to_pull,
    first_pull,
    herd,
    import_start,
    known_pull,
    layers,
    new_names,
    pages,
    policy_judge,
    policy_solve,
    prefixes_following,
    prefixes_making,
    prefixes_sharing,
    scaling,
    sharing,
    solve_scale,
    start,
    throughput,
    versus_dockerfile,
    warm_blob,
    warm_manifest,
    watching,
)
from benchmarks.bench import Bench
from benchmarks.figure import Benchmark, Figure

BENCHMARKS: Final = (
    Benchmark("first-pull", "≤", 1.5, "ratio", first_pull.measure),
    Benchmark("known-pull", "≤", 1.1, "ratio", known_pull.measure),
    Benchmark("versus-dockerfile", "≥", 5, "ratio", versus_dockerfile.measure),
    Benchmark("assembly", "≥", 0.8, "ratio", assembly.measure),
    Benchmark("assembly-memory", "≤", 300, "MB", assembly_memory.measure),
    Benchmark("warm-manifest", "≥", 15, "ratio", warm_manifest.measure),
    Benchmark("warm-blob", "≥", 1.3, "ratio", warm_blob.measure),
    Benchmark("herd", "≤", 1.2, "ratio", herd.measure),
    Benchmark("new-names", "≤", 3, "ratio", new_names.measure),
    Benchmark("sharing", "≤", 1.15, "ratio", sharing.measure),
    Benchmark("layers", "≤", 1.2, "ratio", layers.measure),
    Benchmark("import-start", "≤", 1.1, "ratio", import_start.measure),
    Benchmark("solve-scale", "≤", 1, "s", solve_scale.measure),
    Benchmark("scaling", "≤", 1.3, "ratio", scaling.measure),
    Benchmark("throughput", "≥", 1.5, "ratio", throughput.measure),
    Benchmark("start", "≤", 1, "s", start.measure),
    Benchmark("catalog-pages", "≤", 100, "ms", catalog_pages.measure),
    Benchmark("pages", "≤", 100, "ms", pages.measure),
    Benchmark("catalog-listing", "≥", 10, "ratio", catalog_listing.measure),
    Benchmark("conda-store-list", "≥", 10, "ratio", catalog_listing.measure_wire),
    Benchmark("conda-store-import", "≤", 120, "s", conda_store_import.measure),
    Benchmark("policy-solve", "≤", 1.2, "ratio", policy_solve.measure),
    Benchmark("policy-judge", "≤", 2, "s", policy_judge.measure),
    Benchmark("catalog-build", "≤", 1, "s", catalog_build.measure),
    Benchmark("file-to-pull", "≤", 3, "s", file_to_pull.measure),
    Benchmark("watching-start", "≤", 10, "s", watching.measure_start),
    Benchmark("watching-idle", "≤", 1, "%", watching.measure_idle),
    Benchmark("prefix-known", "≤", 2, "ratio", prefixes_making.measure_known),
    Benchmark("prefix-new", "≤", 1.1, "ratio", prefixes_making.measure_new),
    Benchmark("prefix-next", "≤", 1.1, "ratio", prefixes_making.measure_next),
    Benchmark("prefix-bytes", "≤", 1.15, "ratio", prefixes_sharing.measure_bytes),
    Benchmark("prefix-delete", "≤", 1, "s", prefixes_sharing.measure_delete),
    Benchmark("prefixes-idle", "≤", 1, "s", prefixes_following.measure_idle),
    Benchmark("prefixes-follow", "≤", 2, "s", prefixes_following.measure_follow),
)
_RESULTS: Final = Path(__file__).with_name("results.json")


def main() -> None:
    """Run what is asked for; exit with 1 if one did not work, whatever the figures."""
    options = _options()
    console = Console(width=None if sys.stdout.isatty() else 160)
    figures: dict[Benchmark, Figure] = {}
    failed = []
    with Bench(short=options.short) as bench:
        for benchmark in options.only:
            console.print(f"[dim]{benchmark.name} …[/]", end=" ")
            try:
                figures[benchmark] = figure = benchmark.measure(bench)
            except Exception:  # noqa: BLE001 - one that does not work must not hide the others
                traceback.print_exc()
                failed.append(benchmark.name)
            else:
                console.print(f"{figure.value:.3g}  [dim]{figure.note}[/]")
    console.print(_table(figures))
    if not options.short:
        write_results(_RESULTS, figures)
    if failed:
        raise SystemExit(f"did not work: {', '.join(failed)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", type=named, default=BENCHMARKS, help="names with commas")
    parser.add_argument(
        "--short", action="store_true", help="once, on small input, to see that they work"
    )
    return parser.parse_args()


def named(names: str) -> tuple[Benchmark, ...]:
    """Return the benchmarks with these names; all if there are none.

    A name that none has stands for those that begin with it: ``catalog`` for ``catalog-pages`` and
    the like.
    """
    known = {benchmark.name: benchmark for benchmark in BENCHMARKS}
    found: list[Benchmark] = []
    for name in filter(None, names.split(",")):
        of = [name] if name in known else [one for one in known if one.startswith(f"{name}-")]
        if not of:
            raise argparse.ArgumentTypeError(f"'{name}' is none of {', '.join(known)}")
        found += [known[one] for one in of]
    return tuple(found) or BENCHMARKS


def _table(figures: dict[Benchmark, Figure]) -> Table:
    table = Table("benchmark", "goal", "figure", "unit", "runs", "note")
    for benchmark, figure in figures.items():
        colour = "green" if benchmark.reached(figure) else "red"
        table.add_row(
            benchmark.name,
            benchmark.goal_text,
            f"[{colour}]{figure.value:.3g}[/]",
            benchmark.unit,
            str(figure.runs),
            figure.note,
        )
    return table


def write_results(path: Path, figures: dict[Benchmark, Figure]) -> None:
    """Replace what was measured in the file of results; the others stay."""
    results = json.loads(path.read_bytes()) if path.exists() else {}
    for benchmark, figure in figures.items():
        results[benchmark.name] = {
            "value": float(f"{figure.value:.4g}"),
            "goal": benchmark.goal_text,
            "unit": benchmark.unit,
            "runs": figure.runs,
            "note": figure.note,
        }
    order = [benchmark.name for benchmark in BENCHMARKS]
    results = dict(sorted(results.items(), key=lambda item: order.index(item[0])))
    text = json.dumps(results, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
