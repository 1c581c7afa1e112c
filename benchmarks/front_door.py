"""How soon the command line answers."""

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.measure import Measure
from benchmarks.rounds import interleaved, medians
from benchmarks.workspace import REPOSITORY, Workspace

AT_MOST_SECONDS = 0.7
COMMANDS = {
    "trainlab --help": [str(Path(sys.executable).with_name("trainlab")), "--help"],
    "python train.py --help": [sys.executable, "train.py", "--help"],
}
_LISTS_TORCH = """
import sys
from trainlab.cli import main
try:
    main({arguments})
except SystemExit:
    pass
print("torch" in sys.modules, file=sys.stderr)
"""


def measure(workspace: Workspace) -> list[Measure]:
    """Seconds to the end of `--help`, and whether torch was imported on the way (it must not be)."""
    rounds = interleaved(
        {name: lambda command=command: _seconds(command) for name, command in COMMANDS.items()},
        count=2 if workspace.quick else 9,
    )
    return [
        Measure(
            name=name,
            question="seconds from the command to its end",
            unit="s",
            value=medians(rounds)[name],
            at_most=AT_MOST_SECONDS,
            rounds={name: rounds[name]},
            rounds_unit="s",
            medians={name: medians(rounds)[name]},
        )
        for name in COMMANDS
    ] + [
        Measure(
            name="torch imported by --help",
            question="how many of the two help commands import torch",
            unit="of 2",
            value=sum(_imports_torch(arguments) for arguments in (["--help"], ["train", "--help"])),
            at_most=0,
        )
    ]


def _seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True)
    return time.perf_counter() - began


def _imports_torch(arguments: list[str]) -> bool:
    code = _LISTS_TORCH.format(arguments=arguments)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    return done.stderr.split()[-1] == "True"
