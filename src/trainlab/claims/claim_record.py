"""The result of a claim on disk: `experiments/<name>/result.json`, its schema, written and read."""

import json
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from trainlab.claims.expectations import FiniteFloat
from trainlab.claims.spec import cell_name
from trainlab.errors import RequestError, sanitize
from trainlab.runs.safe_files import read_bounded, write_atomically
from trainlab.stats.intervals import deviation_of_interval

RESULT_FILE = "result.json"
"""Of the quick profile; another's is `result-NAME.json`."""

EValue = Annotated[FiniteFloat, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
FileName = Annotated[str, Field(pattern=r"^[\w-]+\.svg$")]
"""Of a picture beside the record: it leads nowhere else."""


def _current_profile(name: object) -> object:
    """The two-core profile was called `cpu`."""
    return "quick" if name == "cpu" else name


class RecordModel(BaseModel):
    """Records of older and newer versions have more keys, which are passed over; types are as written.

    The order of the fields is that of the file.
    """

    model_config = ConfigDict(extra="ignore", strict=True, populate_by_name=True)


class ExpectationRecord(RecordModel):
    """What came of one expectation: `ExpectationResult`."""

    description: str = Field(alias="says")
    kind: str
    primary: bool = False
    verdict: str
    e_for: EValue | None = None
    e_against: EValue | None = None
    """None of facts, and in records of before there were e-values."""
    expects: dict[str, FiniteFloat] | None = None
    observed: str = Field(alias="saw")
    estimate: FiniteFloat | None
    low: FiniteFloat | None
    high: FiniteFloat | None
    bound: FiniteFloat | None
    unit: str
    n: Count = 0
    sd: FiniteFloat | None = None
    """Over seeds, of what was compared; None in records of before, and where it is not about a mean."""
    reason: str = ""
    """Why it could not be tested."""

    @model_validator(mode="after")
    def _has_both_ends(self) -> "ExpectationRecord":
        return _require_both_ends(self)


class MeanRecord(RecordModel):
    """What the runs of an arm came to: mean and standard deviation over seeds, which is no interval.

    Records of before had the ends of the mean's 95% t interval in the place of the deviation.
    """

    value: FiniteFloat | None
    sd: FiniteFloat | None = None
    low: FiniteFloat | None = Field(default=None, exclude=True)
    high: FiniteFloat | None = Field(default=None, exclude=True)
    n: Count = 0

    @model_validator(mode="after")
    def _has_a_deviation(self) -> "MeanRecord":
        _require_both_ends(self)
        if self.sd is None and self.low is not None and self.high is not None:
            self.sd = deviation_of_interval(self.low, self.high, self.n)
        return self


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
    """A candidate that an arm was tuned over; accuracy None where it has none."""

    overrides: list[str]
    accuracy: FiniteFloat | None = Field(alias="val/acc")
    learned: Count | None = None
    """Of its seeds; None where it was not recorded."""
    worst: Count = 0
    """Of its seeds, how many diverged or failed: they count with the worst accuracy."""


class TuningRecord(RecordModel):
    """What was tried for an arm, and what was chosen."""

    tried: Annotated[list[CandidateRecord], Field(min_length=1)]
    chosen: list[str]
    setting: str = ""
    """Of a ladder: what its values are of; '' where candidates have no order."""
    seeds: Count | None = None
    edge: Literal["low", "high"] | None = None
    """Where the best is the last value that could be tried: the arm is not tuned."""
    none_learned: bool = False
    """Nothing to choose by: the middle value was taken."""
    note: str = ""
    """What is to be said of the arm's tuning."""


class GridRecord(RecordModel):
    """The axes of a grid of scale and depth."""

    scale: str
    scales: list[FiniteFloat]
    depths: list[Count]

    def cells(self) -> list[str]:
        """The names of its arms."""
        return [cell_name(scale, depth) for scale in self.scales for depth in self.depths]


class LessonRecord(RecordModel):
    """What a lesson teaches around its measurement: `spec.Lesson`."""

    explanation: str
    prediction: str
    answer: str
    why: str
    would_change: str


class ClaimRecord(RecordModel):
    """The claim, its verdict, its expectations, its arms and on what all of it was measured."""

    name: str
    collection: Literal["course", "papers"] = "course"
    order: int = 0
    statement: str
    question: str
    source: str
    lesson: LessonRecord | None = None
    profile: Annotated[str, Field(pattern=r"^[\w-]+$"), BeforeValidator(_current_profile)]
    scale: str
    differs: str
    suggestion: str = Field(alias="try")
    verdict: str
    e_for: EValue | None = None
    e_against: EValue | None = None
    """Of the primary expectation; None of facts, and where nothing was tested."""
    reason: str = ""
    """Why a verdict is withheld: what is not tuned, not testable, or a mixture."""
    source_steps: Count | None = None
    steps: Count | None = None
    """Training steps of the source, and of the longest run here."""
    expectations: list[ExpectationRecord] = Field(alias="findings")
    arms: list[ArmRecord]
    overrides: dict[str, list[str]]
    shared: list[str]
    tuned: dict[str, TuningRecord] = {}
    grid: GridRecord | None = None
    pictures: dict[FileName, str] = {}
    """What the pictures below the figure show, by the names of their files."""
    seeds: list[int]
    run_seconds: Annotated[FiniteFloat, Field(ge=0)]
    commits: list[str]
    machine: str
    data: list[str]

    @model_validator(mode="after")
    def _has_all_cells(self) -> "ClaimRecord":
        """The tables look for every cell of a grid among the arms; there are none where nothing was run."""
        if not self.arms:
            return self
        arms = {arm.arm for arm in self.arms}
        absent = next((cell for cell in (self.grid.cells() if self.grid else []) if cell not in arms), None)
        if absent is not None:
            raise ValueError(f"arms: no {absent}, which is a cell of its grid")
        return self


def result_file(profile: str) -> str:
    """The name of the file of a profile's record."""
    return RESULT_FILE if profile == "quick" else f"result-{profile}.json"


def write_record(folder: Path, record: ClaimRecord) -> None:
    """Puts it beside the claim. Raises OSError."""
    content = record.model_dump(by_alias=True)
    write_atomically(
        folder / result_file(record.profile), json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    )


def read_record(folder: Path, profile: str = "quick") -> ClaimRecord | None:
    """What was recorded of a claim in a profile, None where it has not been run with it.

    Raises RequestError for a file that cannot be read, or is no record of a claim.
    """
    path = folder / result_file(profile)
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
