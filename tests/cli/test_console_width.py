"""Tables are cut for a screen, and never where nobody looks on."""

import io

import pytest
from rich.table import Table
from rich.text import Text

from trainlab.terminal import PlainConsole

LONG = "a-name-that-is-longer-than-a-line " * 6


class Screen(io.StringIO):
    """A terminal of 80 columns."""

    def isatty(self) -> bool:
        return True


def printed(file: io.StringIO) -> list[str]:
    table = Table(box=None)
    for column in ("first", "second"):
        table.add_column(column, no_wrap=True)
    table.add_row(LONG, "the end")
    PlainConsole(file=file, color_system=None).print(table)
    return file.getvalue().splitlines()


@pytest.fixture(autouse=True)
def no_columns(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setenv("TERM", "dumb")  # 80 columns, whatever terminal the tests are started from


def test_what_is_piped_is_whole():
    _header, row = printed(io.StringIO())
    assert LONG.strip() in row and row.rstrip().endswith("the end")


def test_a_screen_has_an_edge():
    assert all(len(line) <= 80 for line in printed(Screen()))


def test_columns_that_are_asked_for_go_before_both(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    assert all(len(line) <= 60 for line in printed(io.StringIO()))


def test_colours_in_a_pipe_do_not_make_it_a_screen(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert any(LONG.strip() in line for line in printed(io.StringIO()))


def test_no_line_in_a_pipe_ends_in_blanks():
    table = Table.grid(padding=(0, 2))
    for row in (("a", "wide enough"), ("b", "x"), ("", Text("y ", "bold"))):
        table.add_row(*row)
    out = io.StringIO()
    PlainConsole(file=out, width=40).print(table)
    assert out.getvalue() == "a  wide enough\nb  x\n   y\n"
