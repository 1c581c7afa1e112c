"""Others' words on the terminal are words: brackets stay, and nothing in them is obeyed."""

import io
import json

import pytest

from trainlab.errors import RequestError, sanitize
from trainlab.runs import load_runs
from trainlab.runs.result import CorruptRunError, run_facts
from trainlab.terminal import PlainConsole, markup_text

BRACKETS = (
    "one of [cpu, cuda]",
    "bad shape, expected [/N, C]",
    "dog [black]",
    "[red]",
    "[/]",
    "[bold",
    "\\\\[x]",
    "[link=http://x]y[/link]",
    ":smile:",
    "{0}",
    "[/bold][reverse]x",
)
OBEYED = ("\x1b]0;title\x07", "\x1b[2J", "\x9b31m", "a\rb", "a\bb", "\u202eevil", "\x00", "\x7f", "\u2066x")


def printed(what, **how) -> str:
    out = io.StringIO()
    PlainConsole(file=out, width=200, **how).print(what)
    return out.getvalue().rstrip("\n")


@pytest.mark.parametrize("text", BRACKETS)
def test_brackets_are_brackets(text):
    from rich.table import Table

    assert printed(text) == text
    assert printed(markup_text("[bold]{}[/bold] {}", text, text)) == f"{text} {text}"
    table = Table(text, box=None, padding=0)
    table.add_row(text)
    assert [line.rstrip() for line in printed(table).splitlines()] == [text, text]


@pytest.mark.parametrize("text", OBEYED)
@pytest.mark.parametrize("how", [{}, {"force_terminal": True, "no_color": True}])
def test_what_a_terminal_obeys_is_not_passed_on(text, how):
    for what in (text, markup_text("{}", text)):
        shown = printed(what, **how)
        assert sanitize(shown) == shown != text
    for error in (RequestError(text), CorruptRunError(text, text)):
        assert sanitize(str(error)) == str(error)


def test_colours_of_ours_reach_a_terminal():
    assert "\x1b[" in printed(
        markup_text("[red]{}[/red]", "[x]"), force_terminal=True, color_system="standard"
    )


HOSTILE = "[/N, C] \x1b]0;x\x07 [red]"


@pytest.fixture
def odd_runs(tmp_path, make_odd):
    return make_odd(tmp_path / "runs")


@pytest.fixture
def make_odd(settings):
    """Runs whose texts are somebody's: error, group, axes, name of the folder."""
    from trainlab.runs import Result, RunFolder
    from trainlab.runs.frozen_settings import plain_copy
    from trainlab.settings import RunSettings

    def make(root):
        frozen = plain_copy(settings())
        for number in range(3):
            name = f"{number:012x}"
            frozen |= {"run_id": name, "group": f"g{HOSTILE}", "seed": number}
            frozen["axes"] |= {"activation": f"a{number % 2}{HOSTILE}"}
            folder = RunFolder(root / name)
            folder.write_settings(frozen)
            error = {"type": "ValueError", "message": f"expected {HOSTILE}", "frames": [HOSTILE]}
            folder.finish(
                Result(
                    **run_facts(RunSettings.from_record(frozen)),
                    status="failed",
                    error=error,
                    metrics={"test/acc": 0.5 + number / 10},
                )
            )
        (root / f"odd{HOSTILE.replace('/', '')}").mkdir()
        (root / f"odd{HOSTILE.replace('/', '')}" / "config.yaml").write_text("{")
        return root

    return make


COMMANDS = {
    "list": ["runs", "list"],
    "du": ["runs", "du"],
    "compare": ["compare"],
    "effects": ["compare", "--effects"],
    "csv": ["compare", "--csv"],
    "json": ["compare", "--json"],
    "explain": ["explain", "000000000000"],
    "rm": ["runs", "rm", "nothing[/x]\x1b[2J"],
    "list csv": ["runs", "list", "--csv"],
    "explain json": ["explain", "000000000000", "--json"],
    "unknown": ["explain", "[/x]\x1b[2J"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_obeys_or_eats_what_others_have_named(odd_runs, call_command, command):
    assert load_runs(odd_runs).height == 3
    code, out, err = call_command(*COMMANDS[command], "--runs", str(odd_runs))
    assert code in (0, 1, 2)
    assert sanitize(out + err) == out + err
    if command in ("list", "compare", "explain"):
        assert "[/N, C]" in out and "[red]" in out
    if "json" in command:
        json.loads(out)
