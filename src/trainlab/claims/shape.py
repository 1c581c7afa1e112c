"""The shape of a claim's record: what its page, the report and the app show of it, by name and type."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Finite = Annotated[float, Field(allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Words = list[str]


class _Part(BaseModel):
    """Records of older and newer versions have more keys, which are passed over; types are as written."""

    model_config = ConfigDict(extra="ignore", strict=True)


class _Interval(_Part):
    low: Finite | None
    high: Finite | None

    @model_validator(mode="after")
    def _has_both_ends(self) -> Self:
        if (self.low is None) != (self.high is None):
            raise ValueError("an interval with one end")
        return self


class _Finding(_Interval):
    verdict: str
    says: str
    saw: str
    kind: str
    unit: str
    p_for: Probability
    p_against: Probability
    estimate: Finite | None
    bound: Finite | None


class _Mean(_Interval):
    value: Finite | None


class _Arm(_Part):
    arm: str
    n: Count
    learned: Count
    parameters: Count | None
    statuses: dict[str, Count]
    causes: dict[str, Count]
    runs: dict[str, str]
    verdict_version: Count | None = None
    test_accuracy: _Mean = Field(alias="test/acc")
    training_accuracy: _Mean = Field(alias="train/acc")
    test_loss: _Mean = Field(alias="test/loss")


class _Grid(_Part):
    scale: str
    scales: list[Finite]
    depths: list[Count]


class _Tried(_Part):
    overrides: Words
    accuracy: Finite | None = Field(alias="val/acc")


class _Choice(_Part):
    tried: Annotated[list[_Tried], Field(min_length=1)]
    chosen: Words


class _Record(_Part):
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
    findings: list[_Finding]
    arms: list[_Arm]
    overrides: dict[str, Words]
    shared: Words
    tuned: dict[str, _Choice] = {}
    grid: _Grid | None = None
    seeds: list[int]
    run_seconds: Annotated[Finite, Field(ge=0)]
    commits: Words
    machine: str
    data: Words


def fault(content: Any) -> str | None:
    """What of a record is not as it is written, in one line; None where all is there."""
    try:
        _Record.model_validate(content)
    except ValidationError as error:
        first, *others = error.errors(include_url=False, include_input=False)
        place = ".".join(map(str, first["loc"])) or "all of it"
        more = f", and {len(others)} more" if others else ""
        return f"{place[:200]}: {first['msg'].lower()}{more}"
    return _missing_cell(content)


def _missing_cell(content: dict[str, Any]) -> str | None:
    """An arm of a grid, or of what was tried, that the tables would look for in vain."""
    from trainlab.claims.spec import Grid

    grid, arms = content.get("grid") or {"scales": [], "depths": []}, {arm["arm"] for arm in content["arms"]}
    cells = (Grid.name(scale, depth) for scale in grid["scales"] for depth in grid["depths"])
    absent = next((cell for cell in cells if cell not in arms), None)
    return None if absent is None else f"arms: no {absent}, which is a cell of its grid"
