"""The console that tables and messages go to: as wide as the terminal, and never cut where there is none.

What it prints is mostly others' words: names of folders, classes and groups, messages of errors. Square
brackets in them are square brackets, and what a terminal would obey is not passed on. Our own markup goes
through `marked`.
"""

import os
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleDimensions, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment
from rich.text import Text

from trainlab.errors import sanitize

PIPED_WIDTH = 10_000
"""Columns of a pipe or a file: what reads it has no edge, and a table is only as wide as its content."""


def markup_text(template: str, *values: object) -> Text:
    """A template with markup of ours and a `{}` for each value, whose own brackets are brackets."""
    return Text.from_markup(template.format(*(escape(str(value)) for value in values)), emoji=False)


def _strip_trailing_blanks(pieces: Iterable[Segment]) -> Iterable[Segment]:
    """The same lines, each up to its last letter."""
    line: list[Segment] = []
    for piece in pieces:
        if piece.text == "\n":
            while line and not line[-1].control and not line[-1].text.strip(" "):
                line.pop()
            if line and not line[-1].control:
                line[-1] = Segment(line[-1].text.rstrip(" "), line[-1].style)
        line.append(piece)
        if piece.text == "\n":
            yield from line
            line = []
    yield from line


class PlainConsole(Console):
    """A console that cuts and wraps for a screen only; `COLUMNS`, where it is set, goes before both.

    Text is text: no markup, no emoji codes, no colouring of what looks like a number.
    """

    def __init__(self, **how: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **how)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What is to be printed, piece by piece; a piece that is text has nothing in it that is obeyed.

        In a pipe no line ends in blanks, which fill a table up to its edge.
        """
        pieces = super().render(renderable, options)
        for piece in _strip_trailing_blanks(pieces) if self.is_piped else pieces:
            yield piece if piece.control else Segment(sanitize(piece.text), piece.style)

    @property
    def size(self) -> ConsoleDimensions:  # pyrefly: ignore  # rich has a setter too, which nothing here needs
        """The size of the terminal; without one, room for every column."""
        known = super().size
        if self._width is None and self.is_piped and not os.environ.get("COLUMNS", "").isdigit():
            return ConsoleDimensions(PIPED_WIDTH, known.height)
        return known

    @property
    def is_piped(self) -> bool:
        """Whether nobody looks on: the output goes into a pipe or a file, coloured or not."""
        try:
            return not self.file.isatty()
        except (AttributeError, ValueError):  # a stand-in without `isatty`, or a closed file
            return True
