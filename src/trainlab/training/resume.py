"""Where a run starts: from its initial weights, its own last checkpoint, or the checkpoint of another run."""

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from trainlab.build.networks import MetaNetworks, build_network
from trainlab.errors import RequestError
from trainlab.runs import RunFolder
from trainlab.runs.resolve_runs import resolve_runs
from trainlab.settings import RunSettings
from trainlab.training.checkpoint import read_checkpoint, read_progress
from trainlab.training.classifier import Classifier
from trainlab.training.lightning_internals import CheckpointDict, is_in_mid_epoch

log = logging.getLogger(__name__)

NORMALIZATION_PREFIX = "model.normalization."
"""Prefix of the statistics of the data in a checkpoint; those of another run are not taken over."""
_NOT_CONTENT_OF_DATA = ("source", "default_epochs", "name")


@dataclass(frozen=True)
class StartingPoint:
    """The checkpoint to load (None: the initial weights) and the last step that this run has recorded.

    `is_from_other_run`: only the checkpoint's weights, its position and its optimizer state are taken over.
    """

    checkpoint: Path | None = None
    last_step: int | None = None
    is_from_other_run: bool = False


def find_starting_point(settings: RunSettings, folder: RunFolder) -> StartingPoint:
    """The checkpoint that a run loads first, by `resume`.

    `true`: this run's last checkpoint, if there is one. `false`: none, the run starts over. The name of a run
    or a file: that checkpoint, unless this run has one of its own. With `sweep.rerun` a run ignores its own.

    Raises:
        RequestError: the run or file that `resume` names does not exist, or has used up the budget already.
    """
    own = _own_checkpoint(settings, folder)
    if own is not None:
        try:
            return StartingPoint(own, last_step=read_progress(own)[1] - 1)
        except RequestError as error:
            log.warning("%s; the run starts over", error)
    if isinstance(settings.resume, str):
        return StartingPoint(_other_run_checkpoint(settings, settings.resume), is_from_other_run=True)
    return StartingPoint()


def check_resume(
    settings: RunSettings,
    in_shape_CHW: Sequence[int] | None = None,
    networks: MetaNetworks | None = None,
) -> None:
    """Refuses a `resume` whose checkpoint does not exist, leaves nothing to train, or is of another network.

    `in_shape_CHW` is needed where the settings do not give it; without it the networks are not compared.
    `networks` are those that have been built already.

    Raises:
        RequestError: with what the checkpoint has and what these settings expect.
    """
    named = settings.resume
    folder = RunFolder(Path(settings.paths.runs) / settings.run_id)
    if not isinstance(named, str) or _own_checkpoint(settings, folder) is not None:
        return
    checkpoint = read_checkpoint(_other_run_checkpoint(settings, named))
    try:
        network = _meta_network(settings, in_shape_CHW, networks or MetaNetworks())
        if network is not None:
            _check_same_network(settings, named, checkpoint, network)
    except (KeyError, TypeError, AttributeError, IndexError) as error:  # the file may hold anything
        raise RequestError(
            f"resume={named}: a damaged checkpoint ({type(error).__name__}: {error})"
        ) from None


def _meta_network(
    settings: RunSettings, in_shape_CHW: Sequence[int] | None, networks: MetaNetworks
) -> nn.Module | None:
    """The network of these settings, without weights; None where the shape of its input is not known yet."""
    num_classes = settings.data.num_classes
    if in_shape_CHW is None or num_classes is None:
        return networks.get(settings)
    with torch.device("meta"):
        return build_network(settings, in_shape_CHW, num_classes)


def _check_same_network(
    settings: RunSettings, named: str, checkpoint: CheckpointDict, network: nn.Module
) -> None:
    _check_shapes_match(
        named, _shapes(checkpoint["state_dict"], "model.network."), _shapes(network.state_dict())
    )
    _check_position(settings, named, checkpoint)
    [optimizer] = checkpoint["optimizer_states"]
    optimizer["state"].items()


def adapt_checkpoint(checkpoint: CheckpointDict, classifier: Classifier, warn: Callable[[str], None]) -> None:
    """Changes the checkpoint of another run, in place, so that this run can start from it.

    Taken over: the weights, the position in the data, and the optimizer's state where both optimizers are of
    the same kind. Replaced by this run's own: learning rate, weight decay and the like, the schedule, and the
    statistics that normalize the input. Dropped: the state of callbacks (times, patience, best checkpoint).
    """
    own = {
        name: value
        for name, value in classifier.state_dict().items()
        if name.startswith(NORMALIZATION_PREFIX)
    }
    theirs = {k: v for k, v in checkpoint["state_dict"].items() if not k.startswith(NORMALIZATION_PREFIX)}
    checkpoint["state_dict"] = theirs | own
    checkpoint["callbacks"] = {}
    optimizer, schedule = classifier.build_optimizer_and_scheduler()
    _advance_schedule(schedule, min(checkpoint["global_step"], classifier.total_steps - 1))
    state = checkpoint["optimizer_states"][0]["state"]
    if not _optimizer_state_fits(state, classifier, optimizer):
        warn("resume: the other run's optimizer is of another kind; this one's averages begin anew")
        state = {}
    checkpoint["optimizer_states"] = [
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    ]
    checkpoint["lr_schedulers"] = [] if schedule is None else [schedule.state_dict()]


def _own_checkpoint(settings: RunSettings, folder: RunFolder) -> Path | None:
    own = folder.checkpoints / "last.ckpt"
    is_wanted = settings.resume is not False and not settings.rerun
    return own if is_wanted and own.exists() else None


def _other_run_checkpoint(settings: RunSettings, named: str) -> Path:
    path = Path(named)
    if path.suffix != ".ckpt":
        try:
            runs = resolve_runs(settings.paths.runs, named)
        except RequestError as error:
            raise RequestError(f"resume={named}: {error}") from None
        if len(runs) != 1:
            raise RequestError(f"resume={named}: names {len(runs)} runs, expected one")
        path = runs[0] / "checkpoints" / "last.ckpt"
    epochs, steps = read_progress(path)
    for key, budget, done in (
        ("max_epochs", settings.trainer.max_epochs, epochs),
        ("max_steps", settings.trainer.max_steps, steps),
    ):
        if budget is not None and budget <= done:
            raise RequestError(
                f"trainer.{key}={budget}: resume={named} has done {done} already; expected more"
            )
    return path


def _shapes(state: Mapping[str, Tensor], prefix: str = "") -> dict[str, tuple[int, ...]]:
    return {k.removeprefix(prefix): tuple(v.shape) for k, v in state.items() if k.startswith(prefix)}


def _check_shapes_match(
    named: str, there: Mapping[str, tuple[int, ...]], here: Mapping[str, tuple[int, ...]]
) -> None:
    """Refuses networks whose tensors differ in name or shape."""
    for name in dict.fromkeys([*here, *there]):
        if here.get(name) != there.get(name):
            has, wants = (_format_shape(shapes.get(name)) for shapes in (there, here))
            raise RequestError(
                f"resume={named}: its network is another one: {name} is {has} there, {wants} here; "
                "expected the same model, depth, width, norm_layer and number of classes"
            )


def _format_shape(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else "×".join(map(str, shape)) or "a number"


def _check_position(settings: RunSettings, named: str, checkpoint: CheckpointDict) -> None:
    """A position within an epoch is only valid for the same data and batches. Raises RequestError."""
    other = checkpoint["trainlab"]["settings"]
    is_same = settings.fingerprint == other.get("fingerprint") and all(
        value == other["data"].get(key)
        for key, value in settings.data.to_plain().items()
        if key not in _NOT_CONTENT_OF_DATA
    )
    if not is_same and is_in_mid_epoch(checkpoint):
        raise RequestError(
            f"resume={named}: it was stopped in the middle of an epoch of other data or batches; "
            "expected the same data settings, or a run that ended with an epoch"
        )


def _advance_schedule(schedule: LRScheduler | None, steps: int) -> None:
    """Advances the schedule by so many steps, in place."""
    if schedule is None:
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*before.*optimizer.step")
        for _ in range(steps):
            schedule.step()


def _optimizer_state_fits(state: Mapping[int, object], classifier: Classifier, optimizer: Optimizer) -> bool:
    """Whether the state has the entries that this run's optimizer keeps for each parameter."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if not state:
        return True
    names = _optimizer_state_names(classifier)
    return len(state) <= len(parameters) and all(
        isinstance(entries, Mapping) and set(entries) == names for entries in state.values()
    )


def _optimizer_state_names(classifier: Classifier) -> set[str]:
    """The names of the entries that this run's optimizer keeps for a parameter, seen on a temporary one."""
    parameter = nn.Parameter(torch.zeros(2, 2))
    parameter.grad = torch.zeros(2, 2)
    optimizer = classifier.optimizer([parameter])
    optimizer.step()
    return set(optimizer.state[parameter])
