"""The result of a claim on disk: `experiments/<name>/result.json`, its schema, written and read."""

import json
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from trainlab.claims.execution import TuningOutcome
from trainlab.claims.expectations import FiniteFloat
from trainlab.claims.judge import ExpectationResult, claim_p_values, verdict_from_p_values
from trainlab.claims.runner import ClaimResult
from trainlab.claims.spec import cell_name
from trainlab.cores import available_cores
from trainlab.diagnosis.verdict import is_cause_valid
from trainlab.errors import RequestError, sanitize
from trainlab.runs import Result
from trainlab.runs.provenance import (
    code_state,
    describe_commit,
    describe_data,
    describe_device,
    describe_host,
    processor_name,
)
from trainlab.runs.safe_files import read_bounded, write_atomically
from trainlab.stats.intervals import mean_interval

RESULT_FILE = "result.json"

Probability = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class RecordModel(BaseModel):
    """Records of older and newer versions have more keys, which are passed over; types are as written.

    The order of the fields is that of the file.
    """

    model_config = ConfigDict(extra="ignore", strict=True, populate_by_name=True)


class ExpectationRecord(RecordModel):
    """What came of one expectation: `ExpectationResult`."""

    description: str = Field(alias="says")
    kind: str
    verdict: str
    p_for: Probability
    p_against: Probability
    observed: str = Field(alias="saw")
    estimate: FiniteFloat | None
    low: FiniteFloat | None
    high: FiniteFloat | None
    bound: FiniteFloat | None
    unit: str
    n: Count = 0

    @model_validator(mode="after")
    def _has_both_ends(self) -> "ExpectationRecord":
        return _require_both_ends(self)


class MeanRecord(RecordModel):
    """A mean over seeds with its 95% interval: `Interval`."""

    value: FiniteFloat | None
    low: FiniteFloat | None
    high: FiniteFloat | None
    n: Count = 0

    @model_validator(mode="after")
    def _has_both_ends(self) -> "MeanRecord":
        return _require_both_ends(self)


R = TypeVar("R", ExpectationRecord, MeanRecord)


def _require_both_ends(record: R) -> R:
    if (record.low is None) != (record.high is None):
        raise ValueError("an interval with one end")
    return record


class ArmRecord(RecordModel):
    """The runs of an arm, folded over its seeds."""

    arm: str
    n: Count
    learned: Count
    statuses: dict[str, Count]
    parameters: Count | None
    runs: dict[str, str]
    causes: dict[str, Count]
    verdict_version: Count | None = None
    test_accuracy: MeanRecord = Field(alias="test/acc")
    training_accuracy: MeanRecord = Field(alias="train/acc")
    test_loss: MeanRecord = Field(alias="test/loss")


class CandidateRecord(RecordModel):
    """A candidate that an arm was tuned over; accuracy None where it diverged."""

    overrides: list[str]
    accuracy: FiniteFloat | None = Field(alias="val/acc")


class TuningRecord(RecordModel):
    """What was tried for an arm, and what was chosen."""

    tried: Annotated[list[CandidateRecord], Field(min_length=1)]
    chosen: list[str]


class GridRecord(RecordModel):
    """The axes of a grid of scale and depth."""

    scale: str
    scales: list[FiniteFloat]
    depths: list[Count]

    def cells(self) -> list[str]:
        """The names of its arms."""
        return [cell_name(scale, depth) for scale in self.scales for depth in self.depths]


class ClaimRecord(RecordModel):
    """The claim, its verdict, its expectations, its arms and on what all of it was measured."""

    name: str
    collection: Literal["course", "papers"] = "course"
    order: int = 0
    statement: str
    question: str
    source: str
    profile: Annotated[str, Field(pattern=r"^[\w-]+$")]
    scale: str
    differs: str
    suggestion: str = Field(alias="try")
    verdict: str
    p_for: Probability
    p_against: Probability
    analyses: Count = Field(default=1, alias="looks")
    expectations: list[ExpectationRecord] = Field(alias="findings")
    arms: list[ArmRecord]
    overrides: dict[str, list[str]]
    shared: list[str]
    tuned: dict[str, TuningRecord] = {}
    grid: GridRecord | None = None
    seeds: list[int]
    run_seconds: Annotated[FiniteFloat, Field(ge=0)]
    commits: list[str]
    machine: str
    data: list[str]

    @model_validator(mode="after")
    def _has_all_cells(self) -> "ClaimRecord":
        """The tables look for every cell of a grid among the arms."""
        arms = {arm.arm for arm in self.arms}
        absent = next((cell for cell in (self.grid.cells() if self.grid else []) if cell not in arms), None)
        if absent is not None:
            raise ValueError(f"arms: no {absent}, which is a cell of its grid")
        return self


def write_record(folder: Path, record: ClaimRecord) -> None:
    """Puts it beside the claim. Raises OSError."""
    content = record.model_dump(by_alias=True)
    write_atomically(folder / RESULT_FILE, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_record(folder: Path) -> ClaimRecord | None:
    """What was recorded of a claim, None where it has not been run.

    Raises RequestError for a file that cannot be read, or is no record of a claim.
    """
    path = folder / RESULT_FILE
    try:
        return ClaimRecord.model_validate(json.loads(read_bounded(path)))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        fault = _schema_error(error)
        raise RequestError(
            sanitize(f"{path} is no record of a claim ({fault}); run the claim again")
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise RequestError(sanitize(f"{path} cannot be read ({error}); run the claim again")) from None


def _schema_error(error: ValidationError) -> str:
    """What of a record is not as it is written, in one line."""
    first, *others = error.errors(include_url=False, include_input=False)
    place = ".".join(map(str, first["loc"])) or "all of it"
    more = f", and {len(others)} more" if others else ""
    return f"{place[:200]}: {first['msg'].lower()}{more}"


def build_record(result: ClaimResult) -> ClaimRecord:
    """What is kept of a claim that was judged."""
    claim, budget = result.entry.claim, result.entry.claim.profile(result.options.profile)
    p_values = claim_p_values(result.expectations)
    results_by_arm = result.evaluator.results
    results = [run for runs in results_by_arm.values() for run in runs.values()]
    return ClaimRecord(
        name=result.entry.name,
        collection=claim.collection,
        order=claim.order,
        statement=claim.statement,
        question=claim.question,
        source=claim.source,
        profile=result.options.profile,
        scale=budget.scale,
        differs=claim.differs,
        suggestion=claim.suggestion,
        verdict=verdict_from_p_values(p_values),
        p_for=p_values.p_for,
        p_against=p_values.p_against,
        analyses=result.analyses,
        expectations=[_expectation_record(expectation) for expectation in result.expectations],
        arms=[_arm_record(result, arm) for arm in result.evaluator.runs],
        overrides={arm: list(lines) for arm, lines in claim.arms.items()},
        shared=[*budget.overrides, *claim.common],
        tuned={arm: _tuning_record(outcome) for arm, outcome in result.tuning.items()},
        grid=GridRecord(**claim.grid.model_dump()) if claim.grid is not None else None,
        seeds=sorted({int(run.seed or 0) for run in results}),
        run_seconds=sum(_median_seconds(runs.values()) for runs in results_by_arm.values())
        + sum(outcome.seconds for outcome in result.tuning.values()),
        commits=sorted({describe_commit(run.git) for run in results}) or [describe_commit(code_state())],
        machine=_machines(results),
        data=sorted({describe_data(run.data) for run in results}),
    )


def _expectation_record(result: ExpectationResult) -> ExpectationRecord:
    """JSON has no infinity and no NaN: they are left out."""
    low, high = (
        (result.low, result.high) if _is_finite(result.low) and _is_finite(result.high) else (None, None)
    )
    return ExpectationRecord(
        description=result.description,
        kind=result.kind,
        verdict=result.verdict,
        p_for=result.p_for,
        p_against=result.p_against,
        observed=result.observed,
        estimate=result.estimate if _is_finite(result.estimate) else None,
        low=low,
        high=high,
        bound=result.bound if _is_finite(result.bound) else None,
        unit=result.unit,
        n=result.n,
    )


def _arm_record(result: ClaimResult, arm: str) -> ArmRecord:
    """An arm folded over its seeds."""
    runs = list(result.evaluator.results[arm].values())
    return ArmRecord(
        arm=arm,
        n=len(runs),
        learned=sum(run.verdict.learned is True for run in runs),
        statuses=dict(Counter(run.status for run in runs)),
        parameters=runs[0].parameters,
        runs={str(seed): path.name for seed, path in result.evaluator.runs[arm].items()},
        causes=dict(Counter(_recorded_causes(runs))),
        verdict_version=min((run.verdict.version or 1 for run in runs), default=1),
        test_accuracy=_mean_record(runs, "test/acc"),
        training_accuracy=_mean_record(runs, "train/acc"),
        test_loss=_mean_record(runs, "test/loss"),
    )


def _mean_record(runs: Sequence[Result], metric: str) -> MeanRecord:
    values = [run.metrics.get(metric) for run in runs]
    interval = mean_interval([float(value) for value in values if value is not None and math.isfinite(value)])
    return MeanRecord(value=interval.value, low=interval.low, high=interval.high, n=interval.n)


def _recorded_causes(runs: Iterable[Result]) -> Iterator[str]:
    """Why runs did not learn, without what older rules said without evidence."""
    for run in runs:
        if run.verdict.cause and is_cause_valid(run.verdict.cause, run.verdict.version):
            yield run.verdict.cause


def _tuning_record(outcome: TuningOutcome) -> TuningRecord:
    tried = zip(outcome.candidates, outcome.accuracies, strict=True)
    return TuningRecord(
        tried=[
            CandidateRecord(overrides=list(overrides), accuracy=accuracy if math.isfinite(accuracy) else None)
            for overrides, accuracy in tried
        ],
        chosen=list(outcome.best),
    )


def _median_seconds(runs: Collection[Result]) -> float:
    """What the runs of an arm take: their number times the median, which a run that waited leaves alone."""
    return len(runs) * median(run.seconds or 0.0 for run in runs)


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _machines(results: Sequence[Result]) -> str:
    """Processors, cores and devices on which the runs were made; of theory, which has no runs, this one."""
    if not results:
        return f"{processor_name()}, {available_cores()} cores"
    hosts = sorted({describe_host(run.machine) for run in results})
    return "; ".join([*hosts, *sorted({describe_device(run.machine) for run in results})])
