"""What a claim came to, on disk: `experiments/<name>/result.json`, all that its page and the report show."""

import json
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from trainlab.analysis.intervals import mean_interval
from trainlab.claims import verdict
from trainlab.claims.runner import Judged
from trainlab.claims.shape import fault
from trainlab.claims.tuning import MEASURE, Choice
from trainlab.cores import cores
from trainlab.diagnosis.verdict import holds
from trainlab.errors import RequestError, harmless
from trainlab.runs import Result
from trainlab.runs.atomic import write_atomically
from trainlab.runs.provenance import code_state, host, processor
from trainlab.runs.reading import read_whole

RESULT_FILE = "result.json"
SHOWN_METRICS = ("test/acc", "train/acc", "test/loss")


def record(judged: Judged) -> dict[str, Any]:
    """The claim, its verdict, its findings, its arms and on what all of it was measured; plain values."""
    claim, profile = judged.entry.claim, judged.setup.profile
    sides = verdict.of_claim(judged.findings)
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
        "verdict": verdict.verdict_of(sides),
        "p_for": sides.p_for,
        "p_against": sides.p_against,
        "looks": judged.looks,
        "findings": [_plain(asdict(finding)) for finding in judged.findings],
        "arms": [_arm(judged, arm) for arm in judged.evidence.runs],
        "overrides": {arm: list(lines) for arm, lines in claim.arms.items()},
        "shared": [*getattr(claim.profiles, profile).overrides, *claim.common],
        "tuned": {arm: _choice(choice) for arm, choice in judged.choices.items()},
        "grid": claim.grid.model_dump() if claim.grid is not None else None,
        "seeds": sorted({int(result.seed or 0) for result in results}),
        "run_seconds": sum(_typical_seconds(of.values()) for of in judged.evidence.results.values())
        + sum(choice.seconds for choice in judged.choices.values()),
        "commits": _commits(results) or [_commit(code)],
        "machine": _machine(results),
        "data": sorted({_data(result) for result in results}),
    }


def write(folder: Path, content: dict[str, Any]) -> None:
    """Puts it beside the claim. Raises OSError."""
    write_atomically(folder / RESULT_FILE, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read(folder: Path) -> dict[str, Any] | None:
    """What was recorded of a claim, None where it has not been run.

    Raises RequestError for a file that cannot be read, or is no record of a claim.
    """
    path = folder / RESULT_FILE
    try:
        content = json.loads(read_whole(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise RequestError(harmless(f"{path} cannot be read ({error}); run the claim again")) from None
    if wrong := fault(content):
        raise RequestError(harmless(f"{path} is no record of a claim ({wrong}); run the claim again"))
    return content


def _arm(judged: Judged, arm: str) -> dict[str, Any]:
    """An arm folded over its seeds."""
    results = judged.evidence.results[arm]
    row: dict[str, Any] = {
        "arm": arm,
        "n": len(results),
        "learned": sum(result.verdict.learned is True for result in results.values()),
        "statuses": dict(Counter(result.status for result in results.values())),
        "parameters": next(iter(results.values())).parameters,
        "runs": {seed: path.name for seed, path in judged.evidence.runs[arm].items()},
        "causes": dict(Counter(_causes(results.values()))),
        "verdict_version": min((result.verdict.version or 1 for result in results.values()), default=1),
    }
    for metric in SHOWN_METRICS:
        values = [r.metrics[metric] for r in results.values() if _finite(r.metrics.get(metric))]
        row[metric] = asdict(mean_interval([float(value or 0) for value in values]))
    return row


def _causes(results: Iterable[Result]) -> Iterator[str]:
    """Why runs did not learn, without what older rules said without evidence."""
    for result in results:
        if result.verdict.cause and holds(result.verdict.cause, result.verdict.version):
            yield result.verdict.cause


def _choice(choice: Choice) -> dict[str, Any]:
    """What was tried for an arm, what came of it on validation (None: diverged), and what was chosen."""
    tried = zip(choice.candidates, choice.accuracies, strict=True)
    return {
        "tried": [{"overrides": list(c), MEASURE: a if math.isfinite(a) else None} for c, a in tried],
        "chosen": list(choice.best),
    }


def _typical_seconds(results: Collection[Result]) -> float:
    """What the runs of an arm take: their number times the median, which a run that waited leaves alone."""
    return len(results) * median(result.seconds or 0.0 for result in results)


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Without numbers that JSON does not have."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in values.items()
    }


def _commits(results: Sequence[Result]) -> list[str]:
    return sorted({_commit(result.git) for result in results})


def _commit(git: Any) -> str:
    commit = git.get("commit")
    return f"{commit[:7]}{' (with changes)' if git.get('dirty') else ''}" if commit else "no commit"


def _data(result: Result) -> str:
    return f"{result.data['name']}: {result.data['copy']}"


def _machine(results: Sequence[Result]) -> str:
    """Processors, cores and devices on which the runs were made; of theory, which has no runs, this one."""
    if not results:
        return f"{processor()}, {cores()} cores"
    hosts = sorted({host(result.machine) for result in results})
    devices = sorted({f"{r.machine['device']}, {r.machine['threads']} thread(s) a run" for r in results})
    return "; ".join([*hosts, *devices])
