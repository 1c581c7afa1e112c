"""A table that fits the terminal: names are never cut, what does not fit is left out with a note."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

GAP = 2
MIN_SETTINGS_WIDTH, SETTINGS_SHARE = 26, 0.4
"""Characters, and share of the width, reserved for settings: optional columns are left out for them."""


@dataclass(frozen=True)
class TextColumn:
    """A column of short cells. `rank` 0 stays; of the others, the highest rank is left out first."""

    name: str
    cells: Sequence[str]
    align_right: bool = False
    rank: int = 0

    @property
    def width(self) -> int:
        """Characters that it takes, with the gap to its neighbour."""
        return max(map(cell_len, [self.name, *self.cells])) + GAP


@dataclass(frozen=True)
class SettingsColumn:
    """The one column that may be cut: for each row its own `k=v`, the most informative first."""

    name: str
    rows: Sequence[Sequence[str]]

    @property
    def width(self) -> int:
        return max((cell_len(" ".join(row)) for row in self.rows), default=0) + GAP


@dataclass(frozen=True)
class FittedTable:
    """A table, and notes to print below it."""

    table: Table
    notes: list[str] = field(default_factory=list)


def fit_table(
    columns: Sequence[TextColumn | SettingsColumn], width: int, title: str | None = None
) -> FittedTable:
    """The table of these columns within `width`, and what was left out of it."""
    kept, dropped = _choose_columns(columns, width)
    settings = next((column for column in kept if isinstance(column, SettingsColumn)), None)
    room = width - sum(column.width for column in kept if isinstance(column, TextColumn))
    texts, cut = _fit_settings(settings.rows if settings else [], max(room, 1))
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="dim", title=title)
    table.title_justify = "left"
    for column in kept:
        align_right = isinstance(column, TextColumn) and column.align_right
        table.add_column(Text(column.name), justify="right" if align_right else "left", no_wrap=True)
    cells = [texts if isinstance(column, SettingsColumn) else column.cells for column in kept]
    for row in zip(*cells, strict=True):
        table.add_row(*map(Text, row))
    return FittedTable(table, _omission_note(dropped, cut))


def _choose_columns(
    columns: Sequence[TextColumn | SettingsColumn], width: int
) -> tuple[list[TextColumn | SettingsColumn], list[TextColumn]]:
    """The columns that fit beside the settings, and those that are left out."""
    kept, dropped = list(columns), []
    needed = next((c.width for c in columns if isinstance(c, SettingsColumn)), 0)
    reserved = min(needed, max(MIN_SETTINGS_WIDTH, round(SETTINGS_SHARE * width)))
    while sum(c.width for c in kept if isinstance(c, TextColumn)) + reserved - GAP > width:
        optional = [c for c in kept if isinstance(c, TextColumn) and c.rank]
        if not optional:
            break
        last = max(optional, key=lambda column: column.rank)
        kept.remove(last)
        dropped.append(last)
    return kept, dropped[::-1]


def _fit_settings(rows: Sequence[Sequence[str]], room: int) -> tuple[list[str], list[str]]:
    """Each row's parts that fit, and the names of the settings that are cut from some rows."""
    texts, cut = [], set[str]()
    for parts in rows:
        shown = list(parts)
        while shown and cell_len(" ".join(shown)) + (2 if len(shown) < len(parts) else 0) > room:
            shown.pop()
        cut |= {part.partition("=")[0] for part in parts[len(shown) :]}
        texts.append(" ".join([*shown, *("…" if len(shown) < len(parts) else "")]))
    names = dict.fromkeys(part.partition("=")[0] for parts in rows for part in parts)
    return texts, [name for name in names if name in cut]


def _omission_note(dropped: Sequence[TextColumn], cut: Sequence[str]) -> list[str]:
    parts = [", ".join(column.name for column in dropped)] if dropped else []
    if cut:
        parts.append(f"in lines that end in …: {', '.join(cut)}")
    return [f"left out, for want of room: {'; '.join(parts)}; --json has all"] if parts else []
