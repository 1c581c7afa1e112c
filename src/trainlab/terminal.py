"""The console that tables and messages go to: as wide as the terminal, and never cut where there is none."""

import os

from rich.console import Console, ConsoleDimensions

PIPED_WIDTH = 10_000
"""Columns of a pipe or a file: what reads it has no edge, and a table is only as wide as its content."""


class WideWhenPiped(Console):
    """A console that cuts and wraps for a screen only; `COLUMNS`, where it is set, goes before both."""

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
