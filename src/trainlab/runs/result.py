"""The result of a run: `result.json`, schema 1, written and read."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, TypedDict

from trainlab.errors import RequestError, describe_value, sanitize
from trainlab.instantiate import check_bounded
from trainlab.json_types import Json, JsonObject
from trainlab.runs import json_nonfinite
from trainlab.runs.safe_files import read_bounded, write_atomically
from trainlab.settings import RunSettings

if TYPE_CHECKING:
    from trainlab.settings import RunSettings

SCHEMA = 1
RESULT_FILE = "result.json"
RECORDED_STATUSES = ("finished", "diverged", "failed", "interrupted", "pruned")
DONE_STATUSES = ("finished", "diverged")
"""The statuses of a run that came to its end."""
STATUSES = (*RECORDED_STATUSES, "running", "absent")
WEAK_LEVELS = ("barely", "poorly")
"""Levels of a verdict on a run that counts as learned, and is less than what a linear model reaches."""


class CorruptRunError(Exception):
    """A run folder that cannot be read: which one, and why, in one line."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(sanitize(f"{path}: {reason}"))
        self.path = Path(path)
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether and how well a run learned, and why not: the cause, the layer, what shows it, what would help.

    `level` is "not", "barely", "poorly" or "well", None where it is not known. `reference` is what simple
    models make of the same images. `version` is that of the rules it was judged by; None: of the first.
    """

    learned: bool | None = None
    level: str | None = None
    cause: str | None = None
    layer: str | None = None
    evidence: Json = None
    remedy: str | None = None
    reference: JsonObject | None = None
    version: int | None = None


@dataclass(frozen=True, kw_only=True)
class Result:
    """One run's outcome. Times are ISO 8601 in UTC; accuracies are shares (0..1), losses nats.

    `stopped` says why a run ended before its time: {step, quantity} of a divergence, {reason} of a pruning.
    `error`, of a failed run: {type, message, frames}. `pruning`, where a sweep asked whether the run is worth
    it: {by, audited, learns, reason, steps}; `reason` is null where it is. `warnings`, a line each: what went
    wrong beside the run and does not change its result, as a tracker that could not be reached.
    """

    run_id: str
    status: str
    verdict: Verdict = field(default_factory=Verdict)
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    parameters: int | None = None
    epochs: float | None = None
    steps: int | None = None
    samples_per_second: float | None = None
    seconds: float | None = None
    seed: int | None = None
    axes: Mapping[str, str | float | None] = field(default_factory=dict)
    data: JsonObject = field(default_factory=dict)
    machine: JsonObject = field(default_factory=dict)
    versions: JsonObject = field(default_factory=dict)
    git: JsonObject = field(default_factory=dict)
    error: JsonObject | None = None
    stopped: JsonObject | None = None
    pruning: JsonObject | None = None
    group: str | None = None
    started: str | None = None
    finished: str | None = None
    warnings: Sequence[str] = ()
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        if self.status not in RECORDED_STATUSES:
            raise ValueError(f"status is {self.status!r}, expected one of {', '.join(RECORDED_STATUSES)}")

    @property
    def diverged_step(self) -> int | None:
        """The step at which the loss was not finite any more, None where it always was."""
        step = self.stopped.get("step") if self.stopped and self.status == "diverged" else None
        return step if isinstance(step, int) else None

    def write(self, folder: Path) -> None:
        """Write `result.json` into `folder`, whole or not at all. Raises OSError."""
        write_atomically(
            folder / RESULT_FILE, json_nonfinite.dumps(dataclasses.asdict(self), indent=2) + "\n"
        )


class RunFacts(TypedDict):
    """The fields of a result that are those of the run's frozen settings."""

    run_id: str
    seed: int
    axes: Mapping[str, str | float | None]
    data: JsonObject
    group: str | None


def run_facts(
    settings: "RunSettings", data_notes: Sequence[str] = (), guessing: float | None = None
) -> RunFacts:
    """As in `Result(**run_facts(settings), status=…)`; `data_notes` (`ImageData.notes`) stand in `data`.

    guessing: share of the most common class in the test split, known once the images are loaded.
    """
    notes = {"notes": list(data_notes)} if data_notes else {}
    chance = {} if guessing is None else {"guessing": guessing}
    return {
        "run_id": settings.run_id,
        "seed": settings.seed,
        "axes": settings.axes,
        "data": {
            "name": settings.data.name,
            "fingerprint": settings.fingerprint,
            "copy": settings.data_copy,
            **notes,
            **chance,
        },
        "group": settings.group,
    }


MAX_METRICS, MAX_AXES, MAX_NAME_LENGTH = 1000, 100, 1000
_MAPPINGS = ("metrics", "axes", "data", "machine", "versions", "git")
_MAPPINGS_OR_NULL = ("error", "stopped", "pruning")
_NUMBERS_OR_NULL = ("parameters", "epochs", "steps", "samples_per_second", "seconds", "seed")
_TEXTS_OR_NULL = ("group", "started", "finished")
_FIELDS = frozenset(item.name for item in dataclasses.fields(Result))
_VERDICT_FIELDS = frozenset(item.name for item in dataclasses.fields(Verdict))


def read_result(folder: Path, of: str | None = None) -> Result:
    """The result recorded in `folder`, of the run of that name, or of run `of`.

    Unknown fields are ignored, so that newer records can be read.

    Raises FileNotFoundError where there is none, CorruptRunError for one that is cut short, malformed, of
    another run or of a newer schema.
    """
    try:
        raw = json_nonfinite.loads(read_bounded(folder / RESULT_FILE))
        check_bounded(raw, RESULT_FILE)
    except FileNotFoundError:
        raise
    except RequestError as error:
        raise CorruptRunError(folder, str(error)) from error
    except (ValueError, RecursionError) as error:
        raise CorruptRunError(folder, f"{RESULT_FILE} is cut short or not JSON ({error})") from error
    except OSError as error:
        raise CorruptRunError(folder, f"{RESULT_FILE} cannot be read ({error.strerror})") from error
    if not isinstance(raw, dict):
        raise CorruptRunError(folder, f"{RESULT_FILE} holds {type(raw).__name__}, expected an object")
    fault = _find_fault(raw, of or folder.resolve().name)
    if fault:
        raise CorruptRunError(folder, f"{RESULT_FILE}: {fault}")
    verdict = {key: value for key, value in raw["verdict"].items() if key in _VERDICT_FIELDS}
    known = {key: value for key, value in raw.items() if key in _FIELDS}
    warnings = tuple(raw.get("warnings", ()))
    return Result(**known | {"verdict": Verdict(**verdict), "warnings": warnings})


_EXPECTED_TYPES: tuple[tuple[tuple[str, ...], type | UnionType, str], ...] = (
    (("verdict", *_MAPPINGS), dict, "an object"),
    (_MAPPINGS_OR_NULL, dict | None, "an object or null"),
    (_NUMBERS_OR_NULL, int | float | None, "a number or null"),
    (_TEXTS_OR_NULL, str | None, "text or null"),
)


def _find_fault(raw: dict, run_id: str) -> str | None:
    """What is wrong with a parsed record, or None."""
    return (
        _find_fault_in_identity(raw, run_id)
        or _find_fault_in_types(raw)
        or _find_fault_in_verdict(raw["verdict"])
        or _find_fault_in_axes(raw["axes"])
        or _find_fault_in_metrics(raw["metrics"])
    )


def _find_fault_in_identity(raw: dict, run_id: str) -> str | None:
    schema = raw.get("schema")
    if not isinstance(schema, int) or schema < 1:
        return f"schema is {describe_value(schema)}, expected {SCHEMA}"
    if schema > SCHEMA:
        return f"schema {schema} was written by a newer trainlab (this one reads {SCHEMA})"
    if raw.get("run_id") != run_id:
        return f"it belongs to run '{describe_value(raw.get('run_id'))}'"
    if raw.get("status") not in RECORDED_STATUSES:
        expected = ", ".join(RECORDED_STATUSES)
        return f"status is '{describe_value(raw.get('status'))}', expected one of {expected}"
    return None


def _find_fault_in_types(raw: dict) -> str | None:
    for names, kind, expected in _EXPECTED_TYPES:
        for name in names:
            if not isinstance(raw.get(name), kind):
                return f"{name} is {describe_value(raw.get(name))}, expected {expected}"
    warnings = raw.get("warnings", [])  # older records have none
    if not isinstance(warnings, list) or not all(isinstance(line, str) for line in warnings):
        return f"warnings is {warnings!r}, expected a list of text"
    return None


def _find_fault_in_verdict(verdict: dict) -> str | None:
    for name in ("level", "cause", "layer", "remedy"):
        if not isinstance(verdict.get(name), str | None):
            return f"verdict.{name} is {describe_value(verdict[name])}, expected text or null"
    if not isinstance(verdict.get("learned"), bool | None):
        return f"verdict.learned is {describe_value(verdict['learned'])}, expected true, false or null"
    if not isinstance(verdict.get("reference"), dict | None):
        return f"verdict.reference is {describe_value(verdict['reference'])}, expected an object or null"
    return None


def _find_fault_in_axes(axes: dict) -> str | None:
    if len(axes) > MAX_AXES:
        return f"{len(axes):,} axes, expected at most {MAX_AXES}"
    for name, value in axes.items():
        if len(name) > MAX_NAME_LENGTH or len(str(value)) > MAX_NAME_LENGTH:
            return (
                f"axis {describe_value(name)}: expected a name and a value of at most "
                f"{MAX_NAME_LENGTH} characters"
            )
    return None


def _find_fault_in_metrics(metrics: dict) -> str | None:
    if len(metrics) > MAX_METRICS:
        return f"{len(metrics):,} metrics, expected at most {MAX_METRICS}"
    for name, value in metrics.items():
        if not isinstance(value, int | float | None):
            return f"metric {describe_value(name)} is {describe_value(value)}, expected a number or null"
    return None


@dataclass(frozen=True)
class ResultStamp:
    """The record in a folder at one moment, or that there was none.

    Records are written beside and renamed, so one that was written since is another file with another time.
    """

    file: tuple[int, ...] | None

    @classmethod
    def of(cls, folder: Path) -> "ResultStamp":
        """The record as it is now."""
        try:
            stat = (folder / RESULT_FILE).stat()
        except OSError:
            return cls(None)
        return cls((stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size))

    def is_still_there(self, folder: Path) -> bool:
        """Whether the record is the one of that moment: nothing has been written or removed since."""
        return self == self.of(folder)
