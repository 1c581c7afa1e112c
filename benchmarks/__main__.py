"""`python -m benchmarks [NAME...] [--quick] [--out FILE]`: measures, writes JSON, shows a table.

`python -m benchmarks gpu …` is the proof kit for GPUs (`benchmarks.gpu.kit`).
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from benchmarks import catalogue, report
from benchmarks.gpu import kit
from benchmarks.machine import provenance
from benchmarks.workspace import Workspace

RESULTS = Path(__file__).parent / "results"


def main(arguments: list[str]) -> int:
    """Exit code 0 where all thresholds are reached or `--quick` says they mean nothing, else 1."""
    if arguments[:1] == ["gpu"]:
        return kit.main(arguments[1:])
    asked = _parse(arguments)
    names = asked.names or list(catalogue.FAMILIES)
    out = asked.out or RESULTS / f"{_file_name(names, asked.quick)}.json"
    console = Console()
    os.environ["WANDB_MODE"] = "offline"  # no server's speed is part of any figure
    about = provenance()
    began = time.perf_counter()
    measures, seconds = [], {}
    # what a killed benchmark leaves behind, the system clears
    with tempfile.TemporaryDirectory(prefix="trainlab-bench-", ignore_cleanup_errors=True) as folder:
        workspace = Workspace(Path(folder), asked.quick)
        for name in names:
            since = time.perf_counter()
            console.print(f"{name}: {catalogue.FAMILIES[name]} …", highlight=False)
            measures += catalogue.measure(name, workspace)
            seconds[name] = round(time.perf_counter() - since, 1)
    about |= {"quick": asked.quick, "seconds": round(time.perf_counter() - began, 1), "seconds_of": seconds}
    report.write(out, measures, about)
    report.show(measures, console)
    console.print(f"{out}  ({about['seconds']:.0f} s)", highlight=False)
    return 0 if asked.quick or all(measure.reached is not False for measure in measures) else 1


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(f"  {name:<14}{line}" for name, line in catalogue.FAMILIES.items())
        + "\n\n`python -m benchmarks gpu` is the proof kit for machines with a GPU: see its own --help.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to measure; everything when left out")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: tries the harness, no real figures")
    parser.add_argument("--out", type=Path, help="the JSON file (default: benchmarks/results/…)")
    asked = parser.parse_args(arguments)
    if strange := [name for name in asked.names if name not in catalogue.FAMILIES]:
        parser.error(f"no such measure: {', '.join(strange)}; there are {', '.join(catalogue.FAMILIES)}")
    return asked


def _file_name(names: list[str], quick: bool) -> str:
    which = "all" if set(names) == set(catalogue.FAMILIES) else "-".join(names)
    return f"quick-{which}" if quick else which


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
