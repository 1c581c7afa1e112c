"""python -m experiments.statistics: simulates (a minute of one core), writes results.json and README.md."""

import json

from experiments.rendering import round_numbers
from experiments.statistics.page import README, RESULTS, render_readme
from experiments.statistics.simulate import simulate_all


def main() -> None:
    """Simulates and writes."""
    results = round_numbers(simulate_all())
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    README.write_text(render_readme(results), encoding="utf-8")
    print(README.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
