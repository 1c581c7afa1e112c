"""The page of the plan."""

import os
from pathlib import Path

from trainlab.claims.plan_estimate import CourseCost
from trainlab.claims.plan_table import markdown_table, notes

README = Path(__file__).with_name("README.md")
RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "gpu"
NOT_RUN = "*Not run on a GPU: no rates of a card have been measured, so there are no times.*"
PLANNED = "*The claims themselves were not run on a GPU; this is their plan.*"


def results_to_use(folder: Path = RESULTS) -> Path | None:
    """The newest record of the proof kit, if there is any."""
    files = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
    return Path(os.path.relpath(files[-1])) if files else None


def render_page(course: CourseCost) -> str:
    """What stands in README.md."""
    lines = notes(course)
    return f"""# What all claims take on a GPU

`trainlab claims run --profile gpu` runs every claim at the scale of its source, on one card, one claim \
after the other; runs that differ in values alone are trained as one stack. This is what it would start from \
an empty `runs` folder. With your own card, and what you have run already left out:

```bash
make gpu-check                                                        # measures the card, in 8 minutes
trainlab claims run --profile gpu --plan-only --rates benchmarks/results/gpu/CARD.json
```

{_about(course)}

{markdown_table(course)}

{chr(10).join(f"- {_sentence(line)}" for line in lines)}

Written by `make gpu-plan` (`python -m experiments.gpu_plan`).
"""


def _about(course: CourseCost) -> str:
    if course.total(-1).seconds is None:
        return NOT_RUN
    return f"**Estimated{'' if course.card is None else f' for {course.card}'}.** {PLANNED}"


def _sentence(line: str) -> str:
    return f"{line[0].upper()}{line[1:]}."
