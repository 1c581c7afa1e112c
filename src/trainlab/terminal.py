"""The console for tables and messages: as wide as the terminal, and never cut in a pipe or a file.

What it prints is mostly not ours: names of folders, classes and groups, messages of errors. Square brackets
in it are printed as they are, and control characters are replaced. Our own markup goes through `markup_text`.
"""

import os
from collections.abc import Iterable
from typing import IO, Literal

from rich.console import Console, ConsoleDimensions, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment
from rich.text import Text

from trainlab.errors import sanitize

PIPED_WIDTH = 10_000
"""Columns of a pipe or a file: as many as a table needs."""


def markup_text(template: str, *values: object) -> Text:
    """A template with Rich markup and a `{}` for each value; brackets in the values are no markup."""
    return Text.from_markup(template.format(*(escape(str(value)) for value in values)), emoji=False)


def _strip_trailing_blanks(pieces: Iterable[Segment]) -> Iterable[Segment]:
    """The same lines without blanks at their ends."""
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
    """A console that cuts and wraps for a screen only; `COLUMNS` overrides both where it is set.

    Text is printed as it is: no markup, no emoji codes, no colouring of numbers.
    """

    def __init__(
        self,
        *,
        file: IO[str] | None = None,
        width: int | None = None,
        force_terminal: bool | None = None,
        color_system: Literal["auto", "standard", "256", "truecolor", "windows"] | None = "auto",
        no_color: bool | None = None,
    ) -> None:
        super().__init__(
            file=file, width=width, force_terminal=force_terminal, color_system=color_system,
            no_color=no_color, markup=False, emoji=False, highlight=False,
        )  # fmt: skip

    def print_notes(self, notes: Iterable[str]) -> None:
        """Prints remarks below a table, each on one line however long it is: they have commands to paste."""
        for note in notes:
            self.print(note, style="dim", soft_wrap=True)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments to print, without control characters; in a pipe also without the blanks with which
        a table is filled up to its edge."""
        pieces = super().render(renderable, options)
        for piece in _strip_trailing_blanks(pieces) if self.is_piped else pieces:
            yield piece if piece.control else Segment(sanitize(piece.text), piece.style)

    @property
    def size(self) -> ConsoleDimensions:  # pyrefly: ignore  # rich has a setter too, which nothing here needs
        """The size of the terminal; in a pipe or a file as wide as any table."""
        known = super().size
        if self._width is None and self.is_piped and not os.environ.get("COLUMNS", "").isdigit():
            return ConsoleDimensions(PIPED_WIDTH, known.height)
        return known

    @property
    def is_piped(self) -> bool:
        """Whether the output goes into a pipe or a file, coloured or not."""
        try:
            return not self.file.isatty()
        except (AttributeError, ValueError):  # a stand-in without `isatty`, or a closed file
            return True
