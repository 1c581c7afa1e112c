"""`make results`: runs the presets and writes their figures into the README.

python -m experiments.readme --run      runs what is not done yet, measures, writes
python -m experiments.readme            writes the README's tables from what was measured
"""

import argparse
import subprocess
import sys
from pathlib import Path

from experiments.readme.measure import RESULTS, measure, presets
from experiments.readme.write import draw_learning_curves, write_readme

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Runs, measures, writes; 1 where a preset fell short of what it must reach."""
    parser = argparse.ArgumentParser(prog="python -m experiments.readme")
    parser.add_argument("--run", action="store_true", help="run the presets that are not done yet")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="the folder of runs")
    arguments = parser.parse_args()
    if arguments.run:
        for entry in presets():
            group = f"readme-{entry['preset']}"
            print(f"== {entry['preset']}", flush=True)
            command = [sys.executable, "train.py", f"experiment={entry['preset']}", f"group={group}"]
            subprocess.run([*command, f"paths.runs={arguments.runs}"], check=True, cwd=ROOT)
        measure(arguments.runs)
        draw_learning_curves(arguments.runs)
    write_readme()
    short = [row for row in RESULTS.rows() if row["reached"] is False]
    for row in short:
        print(f"fell short: {row['preset']} {row['arm']}: {row}")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
