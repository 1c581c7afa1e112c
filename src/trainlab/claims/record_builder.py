"""The result of a claim that was judged becomes its record."""

import math
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from statistics import fmean, median, stdev

from trainlab.claims.arm_tuning import TuningOutcome
from trainlab.claims.claim_record import (
    ArmRecord,
    CandidateRecord,
    ClaimRecord,
    ExpectationRecord,
    GridRecord,
    LessonRecord,
    MeanRecord,
    TuningRecord,
)
from trainlab.claims.expectations import Exact, Expectation
from trainlab.claims.judge import ExpectationResult
from trainlab.claims.runner import ClaimResult
from trainlab.diagnosis.verdict import is_cause_valid
from trainlab.process_limits import available_cores
from trainlab.runs import Result
from trainlab.runs.provenance import (
    code_state,
    describe_commit,
    describe_data,
    describe_device,
    describe_host,
    processor_name,
)
from trainlab.runs.worst_values import counted_value, shared_guessing


def build_record(result: ClaimResult) -> ClaimRecord:
    """What is kept of a claim that was judged."""
    claim, budget = result.entry.claim, result.entry.claim.profile(result.options.profile)
    verdict = result.verdict
    results_by_arm = result.evaluator.results
    results = [run for runs in results_by_arm.values() for run in runs.values()]
    return ClaimRecord(
        name=result.entry.name,
        collection=claim.collection,
        order=claim.order,
        statement=claim.statement,
        question=claim.question,
        source=claim.source,
        lesson=None if claim.lesson is None else LessonRecord(**claim.lesson.model_dump()),
        profile=result.options.profile,
        scale=budget.scale,
        differs=claim.differs,
        suggestion=claim.suggestion,
        verdict=verdict.verdict,
        e_for=_capped(verdict.e_for),
        e_against=_capped(verdict.e_against),
        reason=verdict.reason,
        source_steps=claim.source_steps,
        steps=result.steps,
        expectations=list(map(_expectation_record, result.expectations, claim.expectations)),
        arms=[_arm_record(result, arm) for arm in result.evaluator.runs],
        overrides={arm: list(lines) for arm, lines in claim.arms.items()},
        shared=[*budget.overrides, *claim.common],
        tuned={arm: tuning_record(outcome) for arm, outcome in result.tuning.items()},
        grid=GridRecord(**claim.grid.model_dump()) if claim.grid is not None else None,
        pictures=claim.picture_files(),
        seeds=sorted({int(run.seed or 0) for run in results}),
        run_seconds=sum(_median_seconds(runs.values()) for runs in results_by_arm.values())
        + sum(outcome.seconds for outcome in result.tuning.values()),
        commits=sorted({describe_commit(run.git) for run in results if run.git})
        or [describe_commit(code_state())],
        machine=_machines(results),
        data=sorted({describe_data(run.data) for run in results}),
    )


def _expectation_record(result: ExpectationResult, expectation: Expectation) -> ExpectationRecord:
    """JSON has no infinity and no NaN: they are left out."""
    low, high = (
        (result.low, result.high) if _is_finite(result.low) and _is_finite(result.high) else (None, None)
    )
    return ExpectationRecord(
        description=result.description,
        kind=result.kind,
        verdict=result.verdict,
        primary=result.primary,
        e_for=_capped(result.e_for),
        e_against=_capped(result.e_against),
        expects=_expects(expectation),
        reason=result.reason,
        observed=result.observed,
        estimate=result.estimate if _is_finite(result.estimate) else None,
        low=low,
        high=high,
        bound=result.bound if _is_finite(result.bound) else None,
        unit=result.unit,
        n=result.n,
        sd=result.sd if _is_finite(result.sd) else None,
    )


def _arm_record(result: ClaimResult, arm: str) -> ArmRecord:
    """An arm folded over its seeds."""
    runs = list(result.evaluator.results[arm].values())
    classes = result.evaluator.settings[arm].data.num_classes
    versions = [run.verdict.version or 1 for run in runs if run.verdict.learned is not None]
    return ArmRecord(
        arm=arm,
        n=len(runs),
        learned=sum(run.verdict.learned is True for run in runs),
        statuses=dict(Counter(run.status for run in runs)),
        parameters=next((run.parameters for run in runs if run.parameters is not None), None),
        runs={str(seed): path.name for seed, path in result.evaluator.runs[arm].items()},
        causes=dict(Counter(_recorded_causes(runs))),
        verdict_version=min(versions, default=1),
        test_accuracy=_mean_record(runs, "test/acc", classes),
        training_accuracy=_mean_record(runs, "train/acc", classes),
        test_loss=_mean_record(runs, "test/loss", classes),
    )


def _mean_record(runs: Sequence[Result], metric: str, classes: int | None) -> MeanRecord:
    """Over all runs, in which one that diverged has the worst value; no mean where that is infinite."""
    guessing = shared_guessing(runs)
    counted = [counted_value(run, metric, classes, guessing)[0] for run in runs]
    values = [float(value) for value in counted if value is not None]
    if not all(map(math.isfinite, values)):
        return MeanRecord(value=None, n=len(values))
    return MeanRecord(
        value=fmean(values) if values else None, sd=stdev(values) if len(values) > 1 else None, n=len(values)
    )


def _recorded_causes(runs: Iterable[Result]) -> Iterator[str]:
    """Why runs did not learn, without what older rules said without evidence."""
    for run in runs:
        if run.verdict.cause and is_cause_valid(run.verdict.cause, run.verdict.version):
            yield run.verdict.cause


def tuning_record(outcome: TuningOutcome) -> TuningRecord:
    """What is kept of how an arm got its setting."""
    return TuningRecord(
        tried=[
            CandidateRecord(
                overrides=list(trial.candidate),
                accuracy=trial.accuracy if math.isfinite(trial.accuracy) else None,
                learned=trial.learned,
                worst=trial.worst,
            )
            for trial in outcome.trials
        ],
        chosen=list(outcome.best),
        setting=outcome.setting,
        seeds=outcome.seeds,
        edge=outcome.edge,
        none_learned=outcome.none_learned,
        note=outcome.note,
    )


def _expects(expectation: Expectation) -> dict[str, float] | None:
    expects = None if isinstance(expectation, Exact) else expectation.expects
    return None if expects is None else expects.model_dump(exclude_none=True)


def _capped(e_value: float | None) -> float | None:
    """JSON has no infinity."""
    return None if e_value is None else min(e_value, sys.float_info.max)


def _median_seconds(runs: Collection[Result]) -> float:
    """What the runs of an arm take: their number times the median, which a run that waited leaves alone."""
    return len(runs) * median(run.seconds or 0.0 for run in runs)


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _machines(results: Sequence[Result]) -> str:
    """Processors, cores and devices on which the runs were made; of theory, which has no runs, this one."""
    machines = [run.machine for run in results if run.machine]  # a run that was killed has told of none
    if not machines:
        return f"{processor_name()}, {available_cores()} cores"
    hosts = sorted(set(map(describe_host, machines)))
    return "; ".join([*hosts, *sorted(set(map(describe_device, machines)))])
