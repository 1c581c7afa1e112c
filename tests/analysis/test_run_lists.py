"""Lists of runs: readable on any screen, ids whole, the newest first, and what is left out is said."""

import io
import random

import pytest
from rich.console import Console

from trainlab.analysis import compare, tables
from trainlab.analysis.run_lists import format_start, newest_first, runs_list, sweeps_list
from trainlab.analysis.varying_settings import describe_differences

WIDTHS = (80, 130, 200)


@pytest.fixture(scope="session")
def many(runs_of):
    """So many runs of several sweeps, as unlike as people make them."""

    def make(count: int):
        draw = random.Random(0)
        return runs_of(
            [
                {
                    "run_id": f"{number:012x}",
                    "status": draw.choice(["finished"] * 9 + ["failed", "interrupted", "running"]),
                    "group": draw.choice([None, "activation-init-depth-3f2a1c", "baseline"]),
                    "activation": draw.choice(["relu", "sigmoid", "leaky_relu"]),
                    "init": draw.choice(["kaiming", "delta_orthogonal"]),
                    "norm_layer": draw.choice(["none", "batchnorm_after_activation"]),
                    "model": "plain_cnn",
                    "depth": draw.choice([2, 4, 16, None]),
                    "optimizer.lr": draw.choice([0.1, 0.001]),
                    "optimizer.weight_decay": draw.choice([0.0, 1e-4]),
                    "seed": draw.randrange(3),
                    "learned": draw.choice([True, False, None]),
                    "cause": draw.choice([None, "vanishing_gradient", "learning_rate_too_low"]),
                    "test/acc": draw.choice([0.1, 0.943, None]),
                    "started": f"2026-01-{1 + number % 28:02d}T{number % 24:02d}:00:00+00:00",
                }
                for number in range(count)
            ]
        )

    return make


def lines(table, width: int) -> list[str]:
    written = io.StringIO()
    console = Console(width=width, file=written, color_system=None)
    console.print(table)
    return [line.rstrip() for line in written.getvalue().splitlines()]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("count", [1, 15, 1000])
def test_a_line_a_run_on_any_screen(many, width, count):
    runs = newest_first(many(count))
    shown = runs_list(runs, width)
    header, *rows = lines(shown.table, width)
    assert [row.split()[0] for row in rows] == runs["run_id"].to_list(), "a line each, ids whole and in order"
    for name in ("run", "when", "learned", "accuracy"):
        assert name in header.split()
    assert all("activation=" in row or "unless" in " ".join(shown.notes) for row in rows)
    full = lines(runs_list(runs, 10_000).table, 10_000)[1:]
    if rows != full:
        assert any(note.startswith("left out, for want of room:") for note in shown.notes)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("count", [2, 15, 1000])
def test_a_comparison_is_no_wider_than_the_screen_and_cuts_no_word(many, width, count):
    comparison = compare(many(count))
    shown = tables.fit_comparison(comparison, width)
    text = "\n".join(lines(shown.table, width))
    assert "test/acc" in text and "learned" in text
    for word in ("activation", "finished", "leaky_relu"):
        assert word[:-2] + "…" not in text
    longest = max(map(len, text.splitlines()))
    assert longest <= width


def test_the_newest_run_is_first_and_one_without_a_time_last(runs_of):
    times = {"a": "2026-03-01T10:00:00+00:00", "b": "2026-03-01T13:00:00+02:00", "c": None}
    table = newest_first(runs_of([{"run_id": name, "started": time} for name, time in times.items()]))
    assert table["run_id"].to_list() == ["b", "a", "c"], "13:00 in Berlin is later than 10:00 in London"


def test_what_most_runs_share_is_said_once(runs_of):
    rows = [{"activation": "relu", "depth": 4} for _ in range(9)] + [{"activation": "tanh", "depth": 4}]
    said, usual = describe_differences(runs_of(rows))
    assert usual == {"activation": "relu"}
    assert said == [[]] * 9 + [["activation=tanh"]]


def test_a_single_run_is_told_by_its_axes(runs_of):
    said, usual = describe_differences(
        runs_of([{"activation": "relu", "optimizer": "sgd", "optimizer.lr": 0.1}])
    )
    assert said == [["activation=relu", "optimizer=sgd"]] and usual == {}


def test_what_became_of_a_run_stands_where_its_verdict_would(runs_of):
    rows = [{"learned": True}, {"learned": False}, {"status": "failed"}, {"status": "running"}, {}]
    table = runs_of([row | {"depth": number} for number, row in enumerate(rows)])
    verdicts = [line.split()[3] for line in lines(runs_list(table, 80).table, 80)[1:]]
    assert verdicts == ["yes", "no", "failed", "running", "–"]


def test_sweeps_say_what_was_swept_and_what_came_of_it(runs_of):
    first = runs_of(
        [{"activation": a, "seed": s, "learned": a == "relu", "test/acc": 0.9 if a == "relu" else 0.1,
          "started": "2026-01-02T00:00:00+00:00"} for a in ("relu", "tanh") for s in (0, 1)]
    )  # fmt: skip
    second = runs_of(
        [{"depth": d, "learned": None, "started": "2026-01-03T00:00:00+00:00"} for d in range(5)]
    )
    header, *rows = lines(sweeps_list({"one": first, "two": second}, 100).table, 100)
    assert rows[0].startswith("two") and "depth(5)" in rows[0]
    assert rows[1].startswith("one") and "activation=relu,tanh" in rows[1] and "2 of 4" in rows[1]
    assert "90.0 %" in rows[1] and "sweep" in header


def test_a_time_is_short_and_a_nonsense_time_is_none():
    from datetime import UTC, datetime

    now = datetime(2026, 6, 1, tzinfo=UTC)
    assert format_start("2025-03-01T10:00:00+00:00", now).startswith("2025-0")
    assert len(format_start("2026-03-01T10:00:00+00:00", now)) == 11
    assert format_start(None) == format_start("yesterday") == "–"
