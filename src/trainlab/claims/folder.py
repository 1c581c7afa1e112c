"""The claims that there are: `experiments/<name>/claim.yaml`, in the order of their collections."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trainlab
from trainlab.claims.spec import COLLECTIONS, Claim, read
from trainlab.errors import RequestError, unknown
from trainlab.runs.reading import parse_yaml, read_whole

CLAIM_FILE = "claim.yaml"


@dataclass(frozen=True)
class Entry:
    """A claim with its name and its folder."""

    name: str
    folder: Path
    claim: Claim


def default_folder() -> Path:
    """`./experiments` where that has claims, else the checkout's."""
    here = Path("experiments")
    return here if any(here.glob(f"*/{CLAIM_FILE}")) else Path(trainlab.__file__).parents[2] / "experiments"


def names(folder: Path) -> list[str]:
    """All claims, by name. Raises RequestError where there is none."""
    found = sorted(path.parent.name for path in folder.glob(f"*/{CLAIM_FILE}"))
    if not found:
        raise RequestError(f"no claims in {folder}: expected NAME/{CLAIM_FILE}; choose with --experiments")
    return found


def load(folder: Path, wanted: list[str] | None = None, collection: str | None = None) -> list[Entry]:
    """These claims (all where none is named; of one collection), the course first, each in its order.

    Raises:
        RequestError: an unknown name or collection, a collection without claims, or all faults of all files,
            a line each.
    """
    if collection is not None and collection not in COLLECTIONS:
        raise unknown("collection", collection, COLLECTIONS)
    available = names(folder)
    for name in wanted or ():
        if name not in available:
            raise unknown("claim", name, available)
    entries, faults = [], []
    for name in dict.fromkeys(wanted or available):
        try:
            entries.append(Entry(name, folder / name, read(_parsed(folder / name), name)))
        except RequestError as error:
            faults.append(str(error))
    if faults:
        raise RequestError("; ".join(faults))
    entries = [entry for entry in entries if collection in (None, entry.claim.collection)]
    if not entries:
        raise RequestError(f"none of these claims is of the collection {collection}")
    return sorted(entries, key=_place)


def _place(entry: Entry) -> tuple[int, int, str]:
    return COLLECTIONS.index(entry.claim.collection), entry.claim.order, entry.name


def _parsed(folder: Path) -> Any:
    try:
        return parse_yaml(read_whole(folder / CLAIM_FILE))
    except ValueError as error:
        raise RequestError(f"claim {folder.name}: not YAML of a claim ({error})") from None
    except OSError as error:
        raise RequestError(f"claim {folder.name}: cannot be read ({error.strerror})") from None
