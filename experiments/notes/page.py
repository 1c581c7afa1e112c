"""The page, from the corrections, the computed numbers and the records of the lessons."""

from collections.abc import Mapping
from pathlib import Path

from experiments.notes.corrections import CORRECTIONS, FIGURES, Correction
from trainlab.claims import registry
from trainlab.claims.claim_page import PAGE_FILE
from trainlab.claims.claim_record import read_record
from trainlab.claims.collection_pages import NOT_RUN, NOTES_PAGE
from trainlab.claims.evidence_text import verdict_sentence
from trainlab.claims.judge import is_outdated
from trainlab.claims.picture_catalogue import PICTURES, PICTURES_OF_RUNS

FOLDER = Path(__file__).parents[1]
PAGE = FOLDER / NOTES_PAGE
OPENING = """\
# What the notes get wrong, and the command that shows it

The lessons of [the course](README.md) follow a lecture's notes. Where these slip, this page says what is \
so, with the command to see it for yourself, and with the lesson that measures it. Numbers in the text are \
computed when this page is written; verdicts are those of the lessons' records.
"""
CLOSING = "Written by `python -m experiments.notes`."


def render_page(facts: Mapping[str, str]) -> str:
    """The whole page; `facts` are the numbers in the texts. Raises RequestError for a record that is none."""
    sections = [_section(number, correction, facts) for number, correction in enumerate(CORRECTIONS, start=1)]
    return "\n".join([OPENING, *sections, figures_section(), CLOSING]) + "\n"


def figures_section() -> str:
    """Which of the notes' figures are drawn again, each with its lesson."""
    lines = ["## The notes' figures, drawn again", ""]
    lines += ["| in the notes | here | in the lesson |", "|---|---|---|"]
    for shows, figure in FIGURES:
        name = figure.partition("/")[0]
        here = f"[figure]({figure})" if _is_current(figure) else NOT_RUN
        lines.append(f"| {shows} | {here} | [{name}]({name}/{PAGE_FILE}) |")
    lines += ["", "The coding pipeline and the page for predictions are those of `trainlab app`."]
    return "\n".join(lines) + "\n"


def _section(number: int, correction: Correction, facts: Mapping[str, str]) -> str:
    parts = [
        f"## {number}. {correction.title}",
        f"> The notes: {correction.said}",
        correction.so.format_map(facts),
        f"```bash\n{correction.command}\n```",
    ]
    if correction.figure is not None and _is_current(correction.figure):
        parts.append(f"![{correction.title}]({correction.figure})")
    if correction.lesson is not None:
        parts.append(lesson_line(correction.lesson))
    return "\n\n".join(parts) + "\n"


def _is_current(figure: str) -> bool:
    """Whether the figure is there, and, where it is of runs, those are judged by the rules of today."""
    path = FOLDER / figure
    if not path.exists() or path.stem in PICTURES:
        return path.exists()
    record = read_record(path.parent)
    return record is not None and not is_outdated(record)


def lesson_line(name: str) -> str:
    """The lesson with its verdict, or that it has not been run."""
    if not (FOLDER / name / registry.CLAIM_FILE_NAME).exists():
        return f"The lesson `{name}`: {NOT_RUN}."
    record = read_record(FOLDER / name)
    if record is None or is_outdated(record):
        return f"[The lesson]({name}/{PAGE_FILE}): {NOT_RUN}."
    return f"[The lesson]({name}/{PAGE_FILE}). {verdict_sentence(record)}"


def picture_files() -> set[Path]:
    """The files of all named pictures that need no run: those that claims show, and those of this page."""
    shown = {
        entry.folder / f"{picture}.svg"
        for entry in registry.load_claims(FOLDER)
        for picture in entry.claim.pictures
        if isinstance(picture, str)
    }
    shown |= {FOLDER / correction.figure for correction in CORRECTIONS if correction.figure is not None}
    return {path for path in shown if path.stem in set(PICTURES) - PICTURES_OF_RUNS}


def missing_lessons() -> list[str]:
    """The lessons that the corrections name and that are no claims."""
    names = dict.fromkeys(correction.lesson for correction in CORRECTIONS if correction.lesson is not None)
    return [name for name in names if not (FOLDER / name / registry.CLAIM_FILE_NAME).exists()]
