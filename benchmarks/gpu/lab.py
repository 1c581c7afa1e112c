"""What an item works with: its device, its folder, runs in this process, commands in others."""

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from benchmarks.gpu.outcome import Check, Figure, Outcome, Skipped
from benchmarks.workspace import REPOSITORY
from trainlab.json_types import Json
from trainlab.runs import json_nonfinite, safe_files

if TYPE_CHECKING:
    import torch

    from trainlab.runs import Result
    from trainlab.settings import RunSettings, Settings

T = TypeVar("T")

LENET = ("model=lenet5", "data=mnist")
PLAIN_CNN = ("model=plain_cnn", "depth=4", "width=16", "data=cifar10")
NETWORKS = {"LeNet-5": LENET, "plain_cnn": PLAIN_CNN}
"""The two networks of the figures; both at batch 128."""
LOG_TAIL_CHARACTERS = 1500
GO_FILE = "go"
"""Written into the folder of a timed item when nothing else runs any more: the seconds that it has."""


class Trained(NamedTuple):
    """A run that ended: its record, the loss of every step in order, its folder."""

    result: "Result"
    losses: list[float]
    folder: Path


class Command(NamedTuple):
    """A command that ended: its exit code, all that it printed, its seconds."""

    code: int
    output: str
    seconds: float


@dataclass
class Lab:
    """The item's own; everything that is told is on the disk at once, so that a kill loses nothing.

    device: `gpu` or `cpu`. folder: the item's own; data and cache are shared. deadline: `time.monotonic()`
    at which the process will be killed. is_timed: it has yet to wait until nothing else runs.
    """

    device: str
    folder: Path
    cache: Path
    data: Path
    answer: Path
    deadline: float
    outcome: Outcome = field(repr=False)
    is_timed: bool = False
    _is_configured: bool = False

    # Telling

    def check(self, name: str, holds: bool, shown_by: str) -> None:
        """Something that must hold."""
        self.outcome.checks.append(Check(name, bool(holds), shown_by))
        self.save()

    def figure(self, name: str, value: float, unit: str, at_least: float | None = None) -> None:
        """A number, with the threshold that it must reach, if any."""
        self.outcome.figures.append(Figure(name, float(value), unit, at_least))
        self.save()

    def tell(self, **details: Json) -> None:
        """Whatever explains the rest."""
        self.outcome.details.update(details)
        self.save()

    def headline(self, text: str) -> None:
        """What the item's line says."""
        self.outcome.headline = text
        self.save()

    def save(self) -> None:
        """Writes the answer as it is now."""
        safe_files.write_atomically(self.answer, json_nonfinite.dumps(self.outcome.record(), indent=2))

    # When

    def wait_until_alone(self) -> None:
        """A timed item is prepared while others run; here it waits until nothing else does.

        Then its time begins: `deadline` is set anew.
        """
        if self.is_timed:
            while not (go := self.folder / GO_FILE).exists():
                time.sleep(0.02)
            self.deadline = time.monotonic() + float(go.read_text(encoding="ascii"))
            self.is_timed = False

    # Where and how much

    @property
    def on_gpu(self) -> bool:
        """Whether this is no dry run."""
        return self.device == "gpu"

    def size(self, gpu: T, cpu: T) -> T:
        """The size of something: the real one, or that of the dry run."""
        return gpu if self.on_gpu else cpu

    @property
    def seconds_left(self) -> float:
        """Until the process is killed."""
        return self.deadline - time.monotonic()

    @property
    def torch_device(self) -> "torch.device":
        """The device for torch."""
        import torch

        return torch.device("cuda" if self.on_gpu else "cpu")

    def synchronize(self) -> None:
        """Waits until the device has done all that it was given."""
        if self.on_gpu:
            import torch

            torch.cuda.synchronize()

    def need_gpu(self, what: str) -> None:
        """Raises Skipped in the dry run."""
        if not self.on_gpu:
            raise Skipped(f"{what} needs a GPU")

    def need_trainer_setting(self, name: str) -> None:
        """Raises Skipped where runs have no such setting `trainer.NAME`."""
        if not self.has_trainer_setting(name):
            raise Skipped(f"this version has no trainer.{name}")

    def has_trainer_setting(self, name: str) -> bool:
        """Whether runs have a setting `trainer.NAME`."""
        from trainlab.settings import TrainerSettings

        return name in TrainerSettings.model_fields

    def without_tf32(self) -> tuple[str, ...]:
        """The override for full float32 on a GPU, where there is one; at any rate this process has none."""
        import torch

        self.configure()
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = False
        return ("trainer.tf32=false",) if self.has_trainer_setting("tf32") else ()

    def without_stacks(self) -> tuple[str, ...]:
        """The override for a sweep of single runs, where there is one."""
        from trainlab.settings import SweepSettings

        return ("sweep.stack=off",) if "stack" in SweepSettings.model_fields else ()

    def graph(self, value: str) -> tuple[str, ...]:
        """The override `trainer.cuda_graph=VALUE`, where there is one."""
        return (f"trainer.cuda_graph={value}",) if self.has_trainer_setting("cuda_graph") else ()

    def need_stacks(self) -> None:
        """Raises Skipped where sweeps have no `sweep.stack`."""
        from trainlab.settings import SweepSettings

        is_there = importlib.util.find_spec("trainlab.training.stack") is not None
        if "stack" not in SweepSettings.model_fields or not is_there:
            raise Skipped("this version has no sweep.stack")

    # Runs

    def overrides(self, *more: str, runs: str = "runs") -> list[str]:
        """Overrides on the item's device and in its folder, without a tracker; later ones win."""
        return [
            "logger=none", f"trainer={self.device}", "trainer.progress_bar=false", f"paths.data={self.data}",
            f"paths.cache={self.cache}", f"paths.runs={self.folder / runs}", *more,
        ]  # fmt: skip

    def composed(self, *more: str, runs: str = "runs") -> "Settings":
        """Settings of the item's overrides and these."""
        from trainlab.config import compose

        return compose(self.overrides(*more, runs=runs))

    def settings(self, *more: str, runs: str = "runs") -> "RunSettings":
        """Frozen settings of a run. Raises Skipped where its data are not there."""
        from trainlab.config import identify
        from trainlab.errors import RequestError

        composed = self.composed(*more, runs=runs)
        try:
            return identify(composed)
        except RequestError as error:
            if composed.data.name in str(error):
                raise Skipped(str(error)) from None
            raise

    def train(self, *more: str, runs: str = "runs") -> Trained:
        """A run in this process; another `runs` folder for each repeat of the same settings."""
        from trainlab.training.run import train

        self.configure()
        settings = self.settings(*more, runs=runs)
        result = train(settings)
        folder = self.folder / runs / settings.run_id
        return Trained(result, losses_of(folder), folder)

    def configure(self) -> None:
        """What a run's process is given before its first run; later calls change nothing."""
        if not self._is_configured:
            from trainlab.training.environment import configure_process

            configure_process()
            self._is_configured = True
            import torch

            if not self.on_gpu:
                torch.set_num_threads(1)
            else:  # as every run has it there
                torch.use_deterministic_algorithms(True, warn_only=True)
                torch.set_float32_matmul_precision("high")

    def command(self, *words: str, environment: dict[str, str] | None = None) -> Command:
        """`trainlab WORDS` in a process of its own, as a user gives it; its output is kept."""
        began = time.perf_counter()
        with self.start(*words, environment=environment) as process:
            output, _ = process.communicate()
        self._keep(output)
        return Command(process.returncode, output, time.perf_counter() - began)

    def start(self, *words: str, environment: dict[str, str] | None = None) -> "subprocess.Popen[str]":
        """The same, not waited for."""
        return subprocess.Popen(
            [sys.executable, "-m", "trainlab", *words],
            cwd=REPOSITORY, env=command_environment() | (environment or {}),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        )  # fmt: skip

    def sweep(self, *more: str, runs: str = "runs", environment: dict[str, str] | None = None) -> Command:
        """`trainlab train -m …` with the item's overrides."""
        return self.command("train", "-m", *self.overrides(*more, runs=runs), environment=environment)

    def results(self, runs: str = "runs") -> "list[Result]":
        """The records of all runs in a folder, by seed and id."""
        from trainlab.runs.result import read_result

        paths = (self.folder / runs).glob("*/result.json")
        found = [read_result(path.parent) for path in paths]
        return sorted(found, key=lambda result: (result.seed or 0, result.run_id))

    def _keep(self, output: str) -> None:
        with (self.folder / "commands.txt").open("a", encoding="utf-8") as log:
            log.write(output + "\n")


def command_environment() -> dict[str, str]:
    """The environment of a command: this package's source first, in case that it is not installed."""
    paths = [str(REPOSITORY / "src"), str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "WANDB_MODE": "offline", "COLUMNS": "160"}


def tail(output: str) -> str:
    """The end of what a command printed, for the record."""
    return output[-LOG_TAIL_CHARACTERS:]


def losses_of(folder: Path) -> list[float]:
    """The training loss of every step of a run, in order."""
    from trainlab.runs import read_metrics

    table = read_metrics(folder)
    steps = table.filter(table["name"] == "train/loss_step").sort("step")
    return [float("nan") if value is None else float(value) for value in steps["value"]]


def largest_difference(a: Sequence[float], b: Sequence[float]) -> float:
    """max |aᵢ − bᵢ| / max(1, |aᵢ|); infinite where the lengths differ or one alone is not finite."""
    if len(a) != len(b) or not a:
        return float("inf")
    differences = [abs(x - y) / max(1.0, abs(x)) if x != y else 0.0 for x, y in zip(a, b, strict=True)]
    return max(d if d == d else float("inf") for d in differences)
