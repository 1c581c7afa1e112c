"""`python -m benchmarks gpu`: the command of the proof kit."""

import argparse
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from benchmarks.gpu import report
from benchmarks.gpu.catalogue import ITEMS, Item
from benchmarks.gpu.outcome import Outcome
from benchmarks.gpu.runner import Place, Runner
from benchmarks.machine import provenance
from benchmarks.workspace import REPOSITORY, Workspace
from trainlab.json_types import Json
from trainlab.process_limits import available_cores
from trainlab.sweeps.slots import visible_gpus

SECONDS = 480
EARLY_CORES = 8
"""With so many, timed items get ready while the others run."""
DRY_RUN_PATIENCE = 4.0
"""So many times the time that an item has on a GPU."""
RESERVE_SECONDS = 5.0
"""For starting and ending: the command itself is done in the time that was asked for."""


def main(arguments: Sequence[str]) -> int:
    """Exit code 0 where no item failed, 1 where one did, 2 where the request is wrong."""
    began = time.monotonic()
    asked = _parse(arguments)
    if asked.device == "gpu" and not visible_gpus():
        print("benchmarks gpu: there is no GPU here; expected --device cpu, the dry run", file=sys.stderr)
        return 2
    cores = available_cores()
    _use_this_source()
    about = cast("dict[str, Json]", {"device": asked.device, "seconds_asked": asked.seconds, **provenance()})
    ended: list[Outcome] = []
    out = asked.out or report.default_path(asked.device)
    folder = Path(tempfile.mkdtemp(prefix="trainlab-gpu-"))

    def note(outcome: Outcome) -> None:
        ended.append(outcome)
        print(outcome.line(), flush=True)
        seconds = round(time.monotonic() - began, 1)
        report.write(out, ended, {**about, "import_seconds": runner.import_seconds, "seconds": seconds})

    data = Workspace(folder, quick=False).data
    at_once = max(1, 3 * cores // 4 if asked.device == "gpu" else cores // 4)
    patience = 1 if asked.device == "gpu" else DRY_RUN_PATIENCE
    place = Place(asked.device, folder, data, at_once, cores >= EARLY_CORES, patience)
    runner = Runner(place, asked.seconds - RESERVE_SECONDS, note)
    try:
        runner.run(asked.only)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(report.summary(ended))
    print(f"{out}  ({time.monotonic() - began:.0f} s)")
    return 1 if any(outcome.status == "FAILED" for outcome in ended) else 0


def _use_this_source() -> None:
    """For all processes of the kit: the package need not be installed, no server is asked."""
    paths = [str(REPOSITORY), str(REPOSITORY / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    os.environ["WANDB_MODE"] = "offline"


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks gpu",
        description="Proves every GPU path on this machine, a line an item, one JSON file.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(f"  {item.name:<22}{item.question}" for item in ITEMS),
    )
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu", help="cpu: the dry run")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"all items together ({SECONDS})")
    parser.add_argument("--out", type=Path, help="the JSON file (default: benchmarks/results/gpu/CARD.json)")
    parser.add_argument("--only", help="items by name, or its beginning; several with commas")
    asked = parser.parse_args(arguments)
    if asked.seconds <= RESERVE_SECONDS:
        parser.error(f"--seconds: got {asked.seconds:g}, expected more than {RESERVE_SECONDS:g}")
    try:
        asked.only = chosen(asked.only)
    except LookupError as error:
        parser.error(str(error))
    return asked


def chosen(names: str | None) -> list[Item]:
    """The items of these names, in the kit's order. Raises LookupError for a name that none has."""
    if names is None:
        return list(ITEMS)
    chosen: set[str] = set()
    for name in filter(None, (_key(name) for name in names.split(","))):
        found = [item.name for item in ITEMS if _key(item.name) == name]
        found = found or [item.name for item in ITEMS if _key(item.name).startswith(name)]
        if not found:
            raise LookupError(f"--only: no item '{name}'; there are: {', '.join(i.name for i in ITEMS)}")
        chosen.update(found)
    return [item for item in ITEMS if item.name in chosen]


def _key(name: str) -> str:
    """`networks/s` may be given as `networks-s` or `networks`; commas are between the names."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
