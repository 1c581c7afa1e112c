"""The result of a claim on disk: `experiments/<name>/result.json`, its schema, written and read."""

import json
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from trainlab.claims import judge
from trainlab.claims.execution import TUNING_METRIC, TuningOutcome
from trainlab.claims.runner import ClaimResult
from trainlab.cores import available_cores
from trainlab.diagnosis.verdict import is_cause_valid
from trainlab.errors import RequestError, sanitize
from trainlab.runs import Result
from trainlab.runs.provenance import code_state, describe_host, processor_name
from trainlab.runs.safe_files import read_bounded, write_atomically
from trainlab.stats.intervals import mean_interval

Finite = Annotated[float, Field(allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Lines = list[str]


class RecordModel(BaseModel):
    """Records of older and newer versions have more keys, which are passed over; types are as written."""

    model_config = ConfigDict(extra="ignore", strict=True)


class IntervalRecord(RecordModel):
    low: Finite | None
    high: Finite | None

    @model_validator(mode="after")
    def _has_both_ends(self) -> Self:
        if (self.low is None) != (self.high is None):
            raise ValueError("an interval with one end")
        return self


class ExpectationRecord(IntervalRecord):
    verdict: str
    says: str
    saw: str
    kind: str
    unit: str
    p_for: Probability
    p_against: Probability
    estimate: Finite | None
    bound: Finite | None


class MeanRecord(IntervalRecord):
    value: Finite | None


class ArmRecord(RecordModel):
    arm: str
    n: Count
    learned: Count
    parameters: Count | None
    statuses: dict[str, Count]
    causes: dict[str, Count]
    runs: dict[str, str]
    verdict_version: Count | None = None
    test_accuracy: MeanRecord = Field(alias="test/acc")
    training_accuracy: MeanRecord = Field(alias="train/acc")
    test_loss: MeanRecord = Field(alias="test/loss")


class GridRecord(RecordModel):
    scale: str
    scales: list[Finite]
    depths: list[Count]


class CandidateRecord(RecordModel):
    overrides: Lines
    accuracy: Finite | None = Field(alias="val/acc")


class TuningRecord(RecordModel):
    tried: Annotated[list[CandidateRecord], Field(min_length=1)]
    chosen: Lines


class ClaimRecord(RecordModel):
    name: str
    collection: Literal["course", "papers"] = "course"
    statement: str
    question: str
    source: str
    profile: Annotated[str, Field(pattern=r"^[\w-]+$")]
    scale: str
    differs: str
    attempt: str = Field(alias="try")
    verdict: str
    p_for: Probability
    p_against: Probability
    findings: list[ExpectationRecord]
    arms: list[ArmRecord]
    overrides: dict[str, Lines]
    shared: Lines
    tuned: dict[str, TuningRecord] = {}
    grid: GridRecord | None = None
    seeds: list[int]
    run_seconds: Annotated[Finite, Field(ge=0)]
    commits: Lines
    machine: str
    data: Lines


def schema_error(content: Any) -> str | None:
    """What of a record is not as it is written, in one line; None where all is there."""
    try:
        ClaimRecord.model_validate(content)
    except ValidationError as error:
        first, *others = error.errors(include_url=False, include_input=False)
        place = ".".join(map(str, first["loc"])) or "all of it"
        more = f", and {len(others)} more" if others else ""
        return f"{place[:200]}: {first['msg'].lower()}{more}"
    return _missing_cell_error(content)


def _missing_cell_error(content: dict[str, Any]) -> str | None:
    """An arm of a grid, or of what was tried, that the tables would look for in vain."""
    from trainlab.claims.spec import PhaseGrid

    grid, arms = content.get("grid") or {"scales": [], "depths": []}, {arm["arm"] for arm in content["arms"]}
    cells = (PhaseGrid.name(scale, depth) for scale in grid["scales"] for depth in grid["depths"])
    absent = next((cell for cell in cells if cell not in arms), None)
    return None if absent is None else f"arms: no {absent}, which is a cell of its grid"


RESULT_FILE = "result.json"
SHOWN_METRICS = ("test/acc", "train/acc", "test/loss")


def build_record(judged: ClaimResult) -> dict[str, Any]:
    """The claim, its verdict, its findings, its arms and on what all of it was measured; plain values."""
    claim, profile = judged.entry.claim, judged.setup.profile
    sides = judge.claim_p_values(judged.findings)
    results = [result for of in judged.evidence.results.values() for result in of.values()]
    code = code_state()
    return {
        "name": judged.entry.name,
        "collection": claim.collection,
        "order": claim.order,
        "statement": claim.statement,
        "question": claim.question,
        "source": claim.source,
        "profile": profile,
        "scale": getattr(claim.profiles, profile).scale,
        "differs": claim.differs,
        "try": claim.attempt,
        "verdict": judge.verdict_from_p_values(sides),
        "p_for": sides.p_for,
        "p_against": sides.p_against,
        "looks": judged.looks,
        "findings": [_json_ready(asdict(finding)) for finding in judged.findings],
        "arms": [_arm_record(judged, arm) for arm in judged.evidence.runs],
        "overrides": {arm: list(lines) for arm, lines in claim.arms.items()},
        "shared": [*getattr(claim.profiles, profile).overrides, *claim.common],
        "tuned": {arm: _tuning_record(choice) for arm, choice in judged.choices.items()},
        "grid": claim.grid.model_dump() if claim.grid is not None else None,
        "seeds": sorted({int(result.seed or 0) for result in results}),
        "run_seconds": sum(_median_seconds(of.values()) for of in judged.evidence.results.values())
        + sum(choice.seconds for choice in judged.choices.values()),
        "commits": _short_commits(results) or [_short_commit(code)],
        "machine": _machines(results),
        "data": sorted({_data_copy(result) for result in results}),
    }


def write_record(folder: Path, content: dict[str, Any]) -> None:
    """Puts it beside the claim. Raises OSError."""
    write_atomically(folder / RESULT_FILE, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_record(folder: Path) -> dict[str, Any] | None:
    """What was recorded of a claim, None where it has not been run.

    Raises RequestError for a file that cannot be read, or is no record of a claim.
    """
    path = folder / RESULT_FILE
    try:
        content = json.loads(read_bounded(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise RequestError(sanitize(f"{path} cannot be read ({error}); run the claim again")) from None
    if wrong := schema_error(content):
        raise RequestError(sanitize(f"{path} is no record of a claim ({wrong}); run the claim again"))
    return content


def _arm_record(judged: ClaimResult, arm: str) -> dict[str, Any]:
    """An arm folded over its seeds."""
    results = judged.evidence.results[arm]
    row: dict[str, Any] = {
        "arm": arm,
        "n": len(results),
        "learned": sum(result.verdict.learned is True for result in results.values()),
        "statuses": dict(Counter(result.status for result in results.values())),
        "parameters": next(iter(results.values())).parameters,
        "runs": {seed: path.name for seed, path in judged.evidence.runs[arm].items()},
        "causes": dict(Counter(_recorded_causes(results.values()))),
        "verdict_version": min((result.verdict.version or 1 for result in results.values()), default=1),
    }
    for metric in SHOWN_METRICS:
        values = [r.metrics[metric] for r in results.values() if _is_finite(r.metrics.get(metric))]
        row[metric] = asdict(mean_interval([float(value or 0) for value in values]))
    return row


def _recorded_causes(results: Iterable[Result]) -> Iterator[str]:
    """Why runs did not learn, without what older rules said without evidence."""
    for result in results:
        if result.verdict.cause and is_cause_valid(result.verdict.cause, result.verdict.version):
            yield result.verdict.cause


def _tuning_record(choice: TuningOutcome) -> dict[str, Any]:
    """What was tried for an arm, what came of it on validation (None: diverged), and what was chosen."""
    tried = zip(choice.candidates, choice.accuracies, strict=True)
    return {
        "tried": [{"overrides": list(c), TUNING_METRIC: a if math.isfinite(a) else None} for c, a in tried],
        "chosen": list(choice.best),
    }


def _median_seconds(results: Collection[Result]) -> float:
    """What the runs of an arm take: their number times the median, which a run that waited leaves alone."""
    return len(results) * median(result.seconds or 0.0 for result in results)


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _json_ready(values: dict[str, Any]) -> dict[str, Any]:
    """Without numbers that JSON does not have."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in values.items()
    }


def _short_commits(results: Sequence[Result]) -> list[str]:
    return sorted({_short_commit(result.git) for result in results})


def _short_commit(git: Any) -> str:
    commit = git.get("commit")
    return f"{commit[:7]}{' (with changes)' if git.get('dirty') else ''}" if commit else "no commit"


def _data_copy(result: Result) -> str:
    return f"{result.data['name']}: {result.data['copy']}"


def _machines(results: Sequence[Result]) -> str:
    """Processors, cores and devices on which the runs were made; of theory, which has no runs, this one."""
    if not results:
        return f"{processor_name()}, {available_cores()} cores"
    hosts = sorted({describe_host(result.machine) for result in results})
    devices = sorted({f"{r.machine['device']}, {r.machine['threads']} thread(s) a run" for r in results})
    return "; ".join([*hosts, *devices])
