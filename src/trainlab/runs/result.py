"""What a run came to: `result.json`, schema 1."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainlab.build import check_bounded
from trainlab.build.policy import shown
from trainlab.errors import RequestError, harmless
from trainlab.runs import plain_json
from trainlab.runs.atomic import write_atomically
from trainlab.runs.reading import read_whole

SCHEMA = 1
RESULT_FILE = "result.json"
RECORDED = ("finished", "diverged", "failed", "interrupted", "pruned")
DONE = ("finished", "diverged")
"""The statuses of a run that came to its end."""
STATUSES = (*RECORDED, "running", "absent")
WEAK = ("barely", "poorly")
"""Levels of a verdict on a run that counts as learned, and is less than what a linear model reaches."""


class BrokenRun(Exception):
    """A run folder that cannot be read: which one, and why, in one line."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(harmless(f"{path}: {reason}"))
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
    evidence: Any = None
    remedy: str | None = None
    reference: Mapping[str, Any] | None = None
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
    data: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)
    git: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    stopped: Mapping[str, Any] | None = None
    pruning: Mapping[str, Any] | None = None
    group: str | None = None
    started: str | None = None
    finished: str | None = None
    warnings: Sequence[str] = ()
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        if self.status not in RECORDED:
            raise ValueError(f"status is {self.status!r}, expected one of {', '.join(RECORDED)}")

    @classmethod
    def of(cls, settings: Mapping[str, Any], data_notes: Sequence[str] = (), **known: Any) -> "Result":
        """The outcome of a run; id, seed, axes, data and group are those of its frozen settings.

        `data_notes`: what is to be told about the data (`ImageData.notes`), kept in `data.notes`.
        """
        return cls(
            run_id=settings["run_id"],
            seed=settings["seed"],
            axes=settings["axes"],
            data={
                "name": settings["data"]["name"],
                "fingerprint": settings["fingerprint"],
                "copy": settings["copy"],
                **({"notes": list(data_notes)} if data_notes else {}),
            },
            group=settings["group"],
            **known,
        )

    def write(self, folder: Path) -> None:
        """Write `result.json` into `folder`, whole or not at all. Raises OSError."""
        write_atomically(folder / RESULT_FILE, plain_json.dumps(dataclasses.asdict(self), indent=2) + "\n")


MOST_METRICS, MOST_AXES, LONGEST_NAME = 1000, 100, 1000
_MAPPINGS = ("metrics", "axes", "data", "machine", "versions", "git")
_MAPPINGS_OR_NULL = ("error", "stopped", "pruning")
_NUMBERS_OR_NULL = ("parameters", "epochs", "steps", "samples_per_second", "seconds", "seed")
_TEXTS_OR_NULL = ("group", "started", "finished")
_FIELDS = frozenset(item.name for item in dataclasses.fields(Result))
_VERDICT_FIELDS = frozenset(item.name for item in dataclasses.fields(Verdict))


def read_result(folder: Path, of: str | None = None) -> Result:
    """The outcome recorded in `folder`, of the run of that name, or of run `of`.

    Unknown fields are passed over, so that newer records can be read.

    Raises FileNotFoundError where there is none, BrokenRun for one that is cut short, malformed, of another
    run or of a newer schema.
    """
    try:
        raw = plain_json.loads(read_whole(folder / RESULT_FILE))
        check_bounded(raw, RESULT_FILE)
    except FileNotFoundError:
        raise
    except RequestError as error:
        raise BrokenRun(folder, str(error)) from error
    except (ValueError, RecursionError) as error:
        raise BrokenRun(folder, f"{RESULT_FILE} is cut short or not JSON ({error})") from error
    except OSError as error:
        raise BrokenRun(folder, f"{RESULT_FILE} cannot be read ({error.strerror})") from error
    if not isinstance(raw, dict):
        raise BrokenRun(folder, f"{RESULT_FILE} holds {type(raw).__name__}, expected an object")
    fault = _fault(raw, of or folder.resolve().name)
    if fault:
        raise BrokenRun(folder, f"{RESULT_FILE}: {fault}")
    verdict = {key: value for key, value in raw["verdict"].items() if key in _VERDICT_FIELDS}
    known = {key: value for key, value in raw.items() if key in _FIELDS}
    warnings = tuple(raw.get("warnings", ()))
    return Result(**known | {"verdict": Verdict(**verdict), "warnings": warnings})


def _fault(raw: dict, run_id: str) -> str | None:
    """What is wrong with a parsed record, or None."""
    schema = raw.get("schema")
    if not isinstance(schema, int) or schema < 1:
        return f"schema is {shown(schema)}, expected {SCHEMA}"
    if schema > SCHEMA:
        return f"schema {schema} was written by a newer trainlab (this one reads {SCHEMA})"
    if raw.get("run_id") != run_id:
        return f"it belongs to run '{shown(raw.get('run_id'))}'"
    if raw.get("status") not in RECORDED:
        return f"status is '{shown(raw.get('status'))}', expected one of {', '.join(RECORDED)}"
    kinds = [
        (("verdict", *_MAPPINGS), dict, "an object"),
        (_MAPPINGS_OR_NULL, dict | None, "an object or null"),
    ]
    kinds += [
        (_NUMBERS_OR_NULL, int | float | None, "a number or null"),
        (_TEXTS_OR_NULL, str | None, "text or null"),
    ]
    for names, kind, expected in kinds:
        for name in names:
            if not isinstance(raw.get(name), kind):
                return f"{name} is {shown(raw.get(name))}, expected {expected}"
    warnings = raw.get("warnings", [])  # older records have none
    if not isinstance(warnings, list) or not all(isinstance(line, str) for line in warnings):
        return f"warnings is {warnings!r}, expected a list of text"
    if fault := _fault_of_verdict(raw["verdict"]) or _fault_of_axes(raw["axes"]):
        return fault
    if len(raw["metrics"]) > MOST_METRICS:
        return f"{len(raw['metrics']):,} metrics, expected at most {MOST_METRICS}"
    for name, value in raw["metrics"].items():
        if not isinstance(value, int | float | None):
            return f"metric {shown(name)} is {shown(value)}, expected a number or null"
    return None


def _fault_of_verdict(verdict: dict) -> str | None:
    for name in ("level", "cause", "layer", "remedy"):
        if not isinstance(verdict.get(name), str | None):
            return f"verdict.{name} is {shown(verdict[name])}, expected text or null"
    if not isinstance(verdict.get("learned"), bool | None):
        return f"verdict.learned is {shown(verdict['learned'])}, expected true, false or null"
    if not isinstance(verdict.get("reference"), dict | None):
        return f"verdict.reference is {shown(verdict['reference'])}, expected an object or null"
    return None


def _fault_of_axes(axes: dict) -> str | None:
    if len(axes) > MOST_AXES:
        return f"{len(axes):,} axes, expected at most {MOST_AXES}"
    for name, value in axes.items():
        if len(name) > LONGEST_NAME or len(str(value)) > LONGEST_NAME:
            return f"axis {shown(name)}: expected a name and a value of at most {LONGEST_NAME} characters"
    return None
