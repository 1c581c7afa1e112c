"""`python -m experiments.forecast`: how often the forecast was right about the runs of claims and grid.

measure    asks the forecast of each run in the folders of runs that runs.csv lacks (seconds a run)
write      writes results.json, README.md and the figure from runs.csv; the runs are not needed
"""

import argparse
from pathlib import Path


def main() -> None:
    """Does one of the two."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.forecast",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=("measure", "write"))
    parser.add_argument("--runs", type=Path, nargs="+", default=[Path("runs")], help="folders of runs")
    parser.add_argument("--processes", type=int, default=2, help="of `measure`")
    parser.add_argument("--again", action="store_true", help="measure all: the forecast has changed")
    arguments = parser.parse_args()
    if arguments.what == "measure":
        from experiments.forecast.measure import measure

        found = measure(arguments.runs, arguments.processes, arguments.again)
        print(f"{len(found)} runs in the table")
    else:
        from experiments.forecast.write import write

        write()


if __name__ == "__main__":
    main()
