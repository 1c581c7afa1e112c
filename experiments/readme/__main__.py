"""`make results`: runs the presets and writes their figures into the README.

python -m experiments.readme --run      runs what is not done yet, measures, writes
python -m experiments.readme            writes the README's tables from what was measured
"""

import argparse
import subprocess
import sys
from pathlib import Path

from experiments.readme.measure import load_presets, measure, read_results
from experiments.readme.write import draw_learning_curves, write_readme

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Runs, measures, writes; 1 where a preset missed a target."""
    parser = argparse.ArgumentParser(prog="python -m experiments.readme")
    parser.add_argument("--run", action="store_true", help="run the presets that are not done yet")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="the folder of runs")
    arguments = parser.parse_args()
    if arguments.run:
        for preset in load_presets():
            name = preset["preset"]
            print(f"== {name}", flush=True)
            command = [sys.executable, "train.py", f"experiment={name}", f"group=readme-{name}"]
            subprocess.run([*command, f"paths.runs={arguments.runs}"], check=True, cwd=ROOT)
        measure(arguments.runs)
        draw_learning_curves(arguments.runs)
    write_readme()
    missed = [row for row in read_results()["rows"] if row["reached"] is False]
    for row in missed:
        print(f"target not reached: {row['preset']} {row['arm']}: {row}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
