"""`python -m experiments.gpu_plan`: plans every claim's `gpu` profile, and writes the page of it.

The rates are those that `make gpu-check` measured: benchmarks/results/gpu/CARD.json, the newest of them, or
`--rates FILE`. Without any the page has no times, and says so. Nothing is run.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from experiments.gpu_plan.page import README, render_page, results_to_use
from trainlab.claims import registry
from trainlab.claims.execution import ClaimOptions
from trainlab.claims.plan_estimate import estimate_course
from trainlab.errors import RequestError
from trainlab.sweeps.forkserver import ForkServer
from trainlab.sweeps.stack_memory import MAX_STACK


def main() -> int:
    """Plans and writes."""
    parser = argparse.ArgumentParser(prog="python -m experiments.gpu_plan")
    parser.add_argument("--rates", type=Path, help="a card's rates; the newest there are if not given")
    parser.add_argument("--stack", type=int, default=MAX_STACK, help="at most so many runs in a stack")
    arguments = parser.parse_args()
    if arguments.stack < 1:
        parser.error(f"--stack: got {arguments.stack}, expected 1 or more")
    entries = registry.with_profile(registry.load_claims(README.parents[1]), "gpu")
    try:
        with tempfile.TemporaryDirectory() as empty, ForkServer() as server:
            options = ClaimOptions("gpu", Path(empty))
            rates = arguments.rates or results_to_use()
            course = estimate_course(entries, options, server, rates, arguments.stack)
    except RequestError as error:
        print(f"gpu_plan: {error}", file=sys.stderr)
        return 2
    README.write_text(render_page(course), encoding="utf-8")
    print(README)
    return 0


if __name__ == "__main__":
    sys.exit(main())
