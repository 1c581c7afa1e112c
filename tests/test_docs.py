"""ARCHITECTURE.md and CONTRIBUTING.md name files and targets that exist, and every package has its row."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "trainlab"
DOCS = ("ARCHITECTURE.md", "CONTRIBUTING.md")


def in_code(document: str) -> list[str]:
    """What stands in backticks, outside blocks of code."""
    text = re.sub(r"```.*?```", "", (ROOT / document).read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.findall(r"`([^`]+)`", text)


def paths(document: str) -> list[str]:
    """Names of files and folders among it; `<name>` stands for one that a contributor chooses."""
    return [
        c for c in in_code(document) if re.fullmatch(r"[\w./*-]+/[\w./*-]*|[\w./*-]+\.(py|yaml|json|md)", c)
    ]


@pytest.mark.parametrize("document", DOCS)
def test_every_path_is_there(document):
    named = paths(document)
    assert len(named) > 10
    own_record = {"result.json", "signals.parquet"}  # files of a run, not of the project
    folders = (ROOT, PACKAGE, *PACKAGE.iterdir())
    gone = [
        p for p in named if p not in own_record and not any(list(f.glob(p)) for f in folders if f.is_dir())
    ]
    assert not gone, f"{document} names what is not there: {gone}"


def test_every_package_has_a_row_in_the_architecture():
    rows = re.findall(
        r"^\| (`.+?`(?:, `.+?`)*) \|", (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"), re.M
    )
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    there = {
        p.stem for p in PACKAGE.iterdir() if not p.name.startswith(("_", ".")) and p.suffix in ("", ".py")
    }
    assert named == there


@pytest.mark.parametrize("document", DOCS)
def test_every_make_target_is_there(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    targets = set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.M))
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    assert targets <= known
