"""The claims that there are: `experiments/<name>/claim.yaml`, in the order of their collections.

All faults of a file are reported in one line.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

import trainlab
from trainlab.claims import expectations as kinds
from trainlab.claims.spec import (
    COLLECTION_NAMES,
    Claim,
    FigureSpec,
    Lesson,
    PhaseGrid,
    Profile,
    Profiles,
    SeedCounts,
    Tuning,
)
from trainlab.errors import RequestError, closest_name, unknown_name
from trainlab.runs.safe_files import parse_bounded_yaml, read_bounded

CLAIM_FILE_NAME = "claim.yaml"


@dataclass(frozen=True)
class ClaimFile:
    """A claim with its name and its folder."""

    name: str
    folder: Path
    claim: Claim


def default_claims_folder() -> Path:
    """`./experiments` where that has claims, else the checkout's."""
    here = Path("experiments")
    has_claims = any(here.glob(f"*/{CLAIM_FILE_NAME}"))
    return here if has_claims else Path(trainlab.__file__).parents[2] / "experiments"


def claim_names(folder: Path) -> list[str]:
    """All claims, by name. Raises RequestError where there is none."""
    found = sorted(path.parent.name for path in folder.glob(f"*/{CLAIM_FILE_NAME}"))
    if not found:
        raise RequestError(
            f"no claims in {folder}: expected NAME/{CLAIM_FILE_NAME}; choose with --experiments"
        )
    return found


def load_claims(
    folder: Path, wanted: list[str] | None = None, collection: str | None = None
) -> list[ClaimFile]:
    """These claims (all where none is named; of one collection), the course first, each in its order.

    Raises:
        RequestError: an unknown name or collection, a collection without claims, or all faults of all files,
            a line each.
    """
    if collection is not None and collection not in COLLECTION_NAMES:
        raise unknown_name("collection", collection, COLLECTION_NAMES)
    available = claim_names(folder)
    for name in wanted or ():
        if name not in available:
            raise unknown_name("claim", name, available)
    entries, faults = [], []
    for name in dict.fromkeys(wanted or available):
        try:
            entries.append(ClaimFile(name, folder / name, parse_claim(_read_yaml(folder / name), name)))
        except RequestError as error:
            faults.append(str(error))
    if faults:
        raise RequestError("; ".join(faults))
    entries = [entry for entry in entries if collection in (None, entry.claim.collection)]
    if not entries:
        raise RequestError(f"none of these claims is of the collection {collection}")
    return sorted(entries, key=_sort_key)


def with_profile(
    entries: Sequence[ClaimFile], profile: str, wanted: Sequence[str] | None = None
) -> list[ClaimFile]:
    """Those of these claims that have a budget of this name. RequestError where a wanted one has not."""
    found = [entry for entry in entries if profile in entry.claim.profile_names]
    absent = next((entry for entry in entries if wanted and entry not in found), None)
    if absent is not None:
        available = ", ".join(absent.claim.profile_names)
        raise RequestError(f"claim {absent.name} has no profile {profile}: available: {available}")
    if not found:
        raise RequestError(f"none of these claims has a profile {profile}")
    return found


def _sort_key(entry: ClaimFile) -> tuple[int, int, str]:
    return COLLECTION_NAMES.index(entry.claim.collection), entry.claim.order, entry.name


def _read_yaml(folder: Path) -> object:
    try:
        return parse_bounded_yaml(read_bounded(folder / CLAIM_FILE_NAME))
    except ValueError as error:
        raise RequestError(f"claim {folder.name}: not YAML of a claim ({error})") from None
    except OSError as error:
        raise RequestError(f"claim {folder.name}: cannot be read ({error.strerror})") from None


def parse_claim(content: object, name: str) -> Claim:
    """The claim of a parsed file.

    Raises:
        RequestError: all faults in one line, each with where it is, what was got and what was expected.
    """
    if not isinstance(content, dict):
        raise RequestError(f"claim {name}: expected a mapping, got {type(content).__name__}")
    try:
        return Claim.model_validate(content)
    except ValidationError as error:
        faults = dict.fromkeys(_describe_error(fault, content) for fault in error.errors())
        raise RequestError(f"claim {name}: {'; '.join(faults)}") from None


def _describe_error(fault: ErrorDetails, content: object) -> str:
    place = _error_path(fault["loc"], content)
    if fault["type"] == "extra_forbidden":
        return f"unknown key '{place}'{_suggest_key(fault['loc'])}"
    if fault["type"] == "missing":
        return f"{place} is missing"
    message = fault["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if fault["type"] == "value_error":
        return f"{place}: {message}" if place else message
    if fault["type"] in ("source", "union_tag_not_found", "union_tag_invalid"):
        return f"{place}: {_describe_tag_error(fault, message)}"
    return f"{place}={fault['input']!r}: expected {message}"


def _describe_tag_error(fault: ErrorDetails, message: str) -> str:
    if fault["type"] != "union_tag_invalid":
        return message if fault["type"] == "source" else "kind is missing"
    context = fault.get("ctx", {})
    available = context["expected_tags"].replace("'", "").split(", ")
    near = closest_name(context["tag"], available)
    hint = f"did you mean '{near}'? " if near else ""
    return f"unknown kind '{context['tag']}': {hint}available: {', '.join(available)}"


def _error_path(loc: tuple[str | int, ...], content: object) -> str:
    """The path to a fault as it is written in the file: pydantic puts the names of union members between."""
    words: list[str] = []
    node = content
    before: str | int = ""
    for part in loc:
        is_kind = isinstance(before, int) and isinstance(node, dict) and part == node.get("kind")
        if is_kind or before in ("of", "minus", "over"):
            before = ""  # the member's name
            continue
        before = part
        if isinstance(node, dict):
            node = node.get(part)
        elif isinstance(node, list) and isinstance(part, int):
            node = node[part] if part < len(node) else None
            part += 1  # people count from one
        words.append(str(part))
    return ".".join(words)


def _suggest_key(loc: tuple[str | int, ...]) -> str:
    """The closest key that exists where the fault is."""
    fields = {field for model in _MODELS for field in _model_keys(model)}
    near = closest_name(str(loc[-1]), sorted(fields))
    return f": did you mean '{near}'?" if near else ""


def _model_keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


_MODELS = (
    Claim, Profiles, Profile, SeedCounts, FigureSpec, PhaseGrid, Tuning, Lesson,
    kinds.GreaterBy, kinds.Ordered, kinds.Interaction, kinds.Equivalent, kinds.Threshold, kinds.Slope,
    kinds.ApproxEqual,
    kinds.Learns, kinds.LearnsMoreOften, kinds.AtChance, kinds.Exact, kinds.PhaseBoundary,
    kinds.ExpectedMean, kinds.ExpectedShares,
)  # fmt: skip
