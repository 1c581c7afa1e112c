"""`make grid`: five axes at once, and the page of what came of it.

python -m experiments.grid --run      runs what is not done yet, reads the records, writes
python -m experiments.grid --measure  reads the records again, writes
python -m experiments.grid            writes README.md, result.json and the figures from what was measured
"""

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRESETS = ("grid", "phase_tanh")


def main() -> None:
    """Runs, measures, writes."""
    parser = argparse.ArgumentParser(prog="python -m experiments.grid")
    parser.add_argument("--run", action="store_true", help="run what is not done yet")
    parser.add_argument("--measure", action="store_true", help="read the records again")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="the folder of runs")
    arguments = parser.parse_args()
    if arguments.run:
        for preset in PRESETS:
            command = [sys.executable, "train.py", f"experiment={preset}", f"paths.runs={arguments.runs}"]
            subprocess.run(command, check=True, cwd=ROOT)
    if arguments.run or arguments.measure:
        from experiments.grid.measure import measure

        measure(arguments.runs)
    from experiments.grid.write import README, write_page

    write_page()
    print(README.relative_to(ROOT))


if __name__ == "__main__":
    main()
