"""How fast to 94% on CIFAR-10? Runs the preset over seeds, and writes result.json and README.md.

python -m experiments.speedrun_cifar10 [--seeds N] [OVERRIDE ...]   runs what is not done yet, writes
python -m experiments.speedrun_cifar10 --write                      writes the page from result.json

On a GPU ten seeds of the full recipe (seconds each), on a CPU one seed of a smaller one (an hour).
"""

import argparse
import sys
from pathlib import Path

import torch

from experiments.speedrun_cifar10.measure import SEEDS_ON_CPU, SEEDS_ON_GPU, run_seeds
from experiments.speedrun_cifar10.write import record, write_readme
from trainlab.errors import RequestError


def main() -> int:
    """0, or 2 where it cannot be run."""
    parser = argparse.ArgumentParser(prog="python -m experiments.speedrun_cifar10")
    default = SEEDS_ON_GPU if torch.cuda.is_available() else SEEDS_ON_CPU
    parser.add_argument("--seeds", type=int, default=default, help="runs, of the seeds 0, 1, …")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="the folder of runs")
    parser.add_argument("--write", action="store_true", help="only write the page")
    parser.add_argument("overrides", nargs="*", help="settings, as on the command line of train")
    arguments = parser.parse_args()
    if arguments.seeds < 1:
        parser.error(f"--seeds: got {arguments.seeds}, expected at least 1")
    if not arguments.write:
        try:
            record(run_seeds(arguments.runs, arguments.seeds, arguments.overrides))
        except RequestError as error:
            print(error, file=sys.stderr)
            return 2
    write_readme()
    return 0


if __name__ == "__main__":
    sys.exit(main())
