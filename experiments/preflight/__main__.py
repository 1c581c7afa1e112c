"""`python -m experiments.preflight`: the zoo of runs, and the score of the forecast on it.

train      trains what is left of the zoo (resumable; about two hours on two cores)
measure    measures what the forecast measures for each run that zoo.csv lacks, and adds its row
score      fits the probability, scores it on families left out, writes results.json, README.md, the figure
"""

import argparse
from collections import Counter
from pathlib import Path

from experiments.preflight.design import PARTS


def main() -> None:
    """Does one of the three."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.preflight",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=("train", "measure", "score"))
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="the folder of the zoo's runs")
    parser.add_argument("--part", nargs="+", choices=tuple(PARTS), default=tuple(PARTS), help="of `train`")
    parser.add_argument("--most", type=int, help="do so many at most, and stop")
    parser.add_argument("--processes", type=int, default=2, help="of `measure`")
    arguments = parser.parse_args()
    if arguments.what == "train":
        from experiments.preflight.train_runs import train

        outcomes = train(arguments.runs, arguments.part, arguments.most)
        print(dict(Counter(outcome.status for outcome in outcomes)))
    elif arguments.what == "measure":
        from experiments.preflight.repeats import record_repeats
        from experiments.preflight.table import measure

        record_repeats(arguments.runs)
        print(f"{len(measure(arguments.runs, arguments.processes, arguments.most))} runs in the table")
    else:
        from experiments.preflight.write import write

        write()


if __name__ == "__main__":
    main()
