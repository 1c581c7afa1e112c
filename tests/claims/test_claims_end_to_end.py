"""Claims through the command line: runs started, reused and added to; pages and the report written."""

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import ACCURACY, claim, put

from trainlab import cli
from trainlab.claims import registry as claims
from trainlab.claims.claim_record import read_record
from trainlab.claims.shift_evaluation import CACHE_FILE

SHIPPED = Path(__file__).parents[2] / "experiments"
LONGER = {"mishkin-lsuv": 9}
"""Minutes on two cores of the claims whose runs of record took more than eight."""


def call(*arguments: object) -> tuple[int, str, str]:
    """Exit code, output and error output of `trainlab claims …`."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main(["claims", *map(str, arguments)])
        except SystemExit as end:
            return int(end.code or 0), out.getvalue(), err.getvalue()
    raise AssertionError("a command ends with its exit code")


@pytest.fixture(autouse=True)
def plain_console(monkeypatch, shared_cache):
    """Output goes where the test looks, in lines as they were printed."""
    from trainlab.cli import claims as command
    from trainlab.terminal import PlainConsole

    class Followed:
        def __getattr__(self, name):
            return getattr(PlainConsole(width=200), name)

    monkeypatch.setattr(command, "console", Followed())
    monkeypatch.setenv("TRAINLAB_CACHE", str(shared_cache))


@pytest.fixture(scope="module")
def done(tmp_path_factory, one_warm_server):
    """An undecidable claim and a false one, run; the first run again: (folder, first and second answer)."""
    place = tmp_path_factory.mktemp("claims")
    shifted = {"shift": {"brightness": 40}, "measure": "agreement"}
    undecidable = claim(order=2)
    undecidable["profiles"]["quick"]["seeds"] = {"first": 3, "most": 4}
    undecidable["arms"]["B"] = undecidable["arms"]["A"]  # the difference is zero
    undecidable["expectations"] += [
        {"kind": "bound", "says": "some predictions stay", "arm": "A", "of": shifted, "at_least": 0.0},
        {"kind": "learns", "says": "A learns", "arm": "A"},
        {
            "kind": "bound", "says": "there is a gradient", "arm": "B", "at_least": -6,
            "of": {"signal": "weight_grad_norm", "layer": "first", "log10": True,
                   "over": {"signal": "weight_grad_norm", "layer": "last"}},
        },
    ]  # fmt: skip
    put(place / "experiments", "undecidable", undecidable)
    fact = {
        "kind": "exact",
        "says": "a wrong number",
        "arm": "A",
        "of": {"anatomy": "parameters"},
        "equals": 1,
    }
    figure = {"kind": "layers", "title": "layers"}
    put(place / "experiments", "false-fact", claim(arms={"A": []}, expectations=[fact], figure=figure))
    options = ("--experiments", place / "experiments", "--runs", place / "runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRAINLAB_CACHE", str(place / "cache"))
        first = _as_a_process("run", *options)
        second = call("run", "undecidable", *options)
    return place, first, second


def _as_a_process(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "trainlab", "claims", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=None)


def test_seeds_are_added_until_it_is_decided_or_the_maximum_is_reached(done):
    _, first, _ = done
    assert first.returncode == 0, first.stderr
    assert "undecidable: 3 runs, 0 done before, 3 to do" in first.stdout
    assert "undecidable: 1 run, 0 done before, 1 to do" in first.stdout


def test_a_second_call_runs_nothing(done):
    _, _, (code, out, err) = done
    assert code == 0, err
    assert "to do" not in out and "[1/" not in out


def test_a_refuted_claim_is_a_result(done):
    place, first, _ = done
    assert first.returncode == 0
    record = json.loads((place / "experiments" / "false-fact" / "result.json").read_text())
    assert record["verdict"] == "does not hold" and record["e_for"] is None
    assert "expected 1" in record["findings"][0]["saw"]


def test_the_page_says_verdict_numbers_scale_seeds_commit_machine_and_data_copy(done):
    place, _, _ = done
    page = (place / "experiments" / "undecidable" / "README.md").read_text(encoding="utf-8")
    record = json.loads((place / "experiments" / "undecidable" / "result.json").read_text())
    assert "**Not enough evidence**" in page
    assert "seeds 0, 1, 2, 3" in page
    for part in (record["commits"][0], record["machine"], "digits: ", "tiny", "It does not.", "figure.svg"):
        assert part in page
    mean = record["arms"][0]["test/acc"]["value"]
    assert f"{100 * mean:.2f}" in page


def test_what_the_page_shows_is_what_the_runs_recorded(done):
    place, _, _ = done
    record = json.loads((place / "experiments" / "undecidable" / "result.json").read_text())
    arm = record["arms"][0]
    accuracies = [
        json.loads((place / "runs" / run_id / "result.json").read_text())["metrics"]["test/acc"]
        for run_id in arm["runs"].values()
    ]
    assert len(accuracies) == 4
    assert arm["test/acc"]["value"] == pytest.approx(sum(accuracies) / 4)


def test_evaluations_are_kept_beside_the_run_and_only_where_they_were_asked_for(done):
    place, _, _ = done
    kept = sorted((place / "runs").glob(f"*/{CACHE_FILE}"))
    assert len(kept) == 4  # of the four runs of arm A
    assert '{\\"brightness\\": 40}' in kept[0].read_text()


def test_the_report_is_one_page_that_needs_nothing_beside_it(done, tmp_path):
    place, _, _ = done
    code, _, err = call("report", "--experiments", place / "experiments", "--to", tmp_path / "report.html")
    assert code == 0, err
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "http" not in page and "<script" not in page and "<link" not in page
    assert page.count("src=") == page.count('src="data:image/svg+xml')  # pictures lie whole in their address
    assert page.count("<svg") == 1 and page.count("data:image/svg+xml") == 2  # the forest plot, two claims
    assert "does not hold" in page and "not enough evidence" in page


def test_the_way_through_the_course_is_refreshed_in_its_order(done):
    place, _, _ = done
    course = (place / "experiments" / "README.md").read_text(encoding="utf-8")
    assert course.index("claims run false-fact") < course.index("claims run undecidable")
    assert "**Does not hold**" in course and "*Try:* something else" in course


@pytest.mark.slow
def test_a_run_without_what_a_claim_asks_for_is_trained_again(done):
    """Another claim shares A's runs and has thrown their weights away."""
    place, _, _ = done
    weights = sorted((place / "runs").glob("*/checkpoints/last.ckpt"))
    weights[0].unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRAINLAB_CACHE", str(place / "cache"))
        options = ("--experiments", place / "experiments", "--runs", place / "runs")
        again = _as_a_process("run", "undecidable", *options)
    assert again.returncode == 0, again.stderr
    assert "(1 of them again, for what their records lack)" in again.stdout
    assert weights[0].exists()


def test_claims_are_listed_and_checked_without_torch(tmp_path):
    put(tmp_path, "mine", claim())
    script = (
        "import sys; from trainlab import cli\n"
        "for command in ('list', 'check'):\n"
        "    try: cli.main(['claims', command, '--experiments', sys.argv[1]])\n"
        "    except SystemExit as end: assert not end.code, end.code\n"
        "assert not {'torch', 'lightning'} & set(sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert "mine" in answer.stdout and "1 claim, all in order" in answer.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "min"), "unknown claim 'min': did you mean 'mine'?"),
        (("run", "mine", "--profile", "quik"), "unknown profile 'quik': did you mean 'quick'?"),
        (("report",), "none of these claims has been run"),
    ],
)
def test_a_wrong_request_is_one_line_and_exit_code_2(tmp_path, arguments, message):
    put(tmp_path, "mine", claim())
    code, _, err = call(*arguments, "--experiments", tmp_path)
    assert code == 2
    assert message in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["activation=rleu"],
            "claim mine, arm 'A', profile quick: unknown activation 'rleu': did you mean 'relu'",
        ),
        (["depth=2,4"], "an arm is one setting"),
        (["optimizer.lr=-1"], "optimizer.lr"),
    ],
)
def test_check_composes_every_arm(tmp_path, overrides, message):
    content = claim()
    content["arms"]["A"] = overrides
    put(tmp_path, "mine", content)
    code, _, err = call("check", "--experiments", tmp_path)
    assert code == 2
    assert message in err and err.count("\n") == 1


@pytest.mark.slow
def test_every_claim_that_is_shipped_is_in_order():
    code, out, err = call("check", "--experiments", SHIPPED)
    assert code == 0, err
    assert f"{len(list(SHIPPED.glob('*/claim.yaml')))} claims, all in order" in out


@pytest.mark.parametrize("name", [path.parent.name for path in SHIPPED.glob("*/claim.yaml")])
def test_a_shipped_claim_says_all_that_its_page_needs(name):
    (entry,) = claims.load_claims(SHIPPED, [name])
    seeds = entry.claim.profiles.quick.seeds
    most = 150 if entry.claim.grid is not None else 90  # the cells of a grid are small
    assert len(entry.claim.trained_arms) * seeds.first <= most, "too many runs before the first look"
    assert all(expectation.description[0] != " " for expectation in entry.claim.expectations)
    assert ACCURACY["metric"] == "test/acc"


@pytest.mark.parametrize("name", [path.parent.name for path in SHIPPED.glob("*/claim.yaml")])
def test_the_runs_of_record_of_a_claim_take_at_most_eight_minutes_of_two_cores(name):
    """All runs, those of tuning and of every seed, with the times that they had."""
    record = read_record(SHIPPED / name)
    assert record is not None, "a claim that is shipped has a record"
    assert record.run_seconds / 2 <= 60 * LONGER.get(name, 8)


def test_the_course_has_every_lesson_that_is_promised():
    promised = {
        "parameters-dense-local-conv", "lenet5-anatomy", "vgg16-anatomy", "lenet-learns-mnist-not-cifar",
        "more-blocks-help-cifar", "deep-sigmoid-vanishes", "relu-cures-vanishing", "deep-glorot-relu-stalls",
        "kaiming-restores-it", "activation-needs-its-initializer", "one-setting-two-data-sets",
        "input-normalization", "wrong-statistics-at-inference",
        "normalization-removes-brightness-and-contrast", "batchnorm-makes-it-trainable",
        "batchnorm-without-gamma-beta",
        "batchnorm-needs-a-batch", "batchnorm-statistics-lag", "many-parameters-overfit",
        "shared-weights-see-shifted-digits", "max-or-average-pooling", "locality-permuted-pixels",
        "receptive-field-and-relu", "pooling-forgives-small-shifts", "features-layer-by-layer",
        "adam-moves-biases-by-its-rate", "batchnorm-by-hand", "depth-degrades-shortcuts-help",
    }  # fmt: skip
    assert promised == {entry.name for entry in claims.load_claims(SHIPPED, collection="course")}


def test_the_papers_have_every_claim_that_is_promised():
    promised = {
        "glorot-signal-by-depth", "glorot-sigmoid-saturates", "glorot-sigmoid-depth", "glorot-table-1",
        "he-30-layers", "he-22-layers", "ioffe-mnist-sigmoid", "mishkin-lsuv", "schoenholz-depth-follows-xi",
        "xiao-delta-orthogonal", "yang-batchnorm-explodes", "klambauer-selu-keeps-scale",
        "de-residual-without-batchnorm",
    }  # fmt: skip
    assert promised == {entry.name for entry in claims.load_claims(SHIPPED, collection="papers")}


@pytest.mark.parametrize("collection", ["course", "papers"])
def test_no_two_claims_of_a_collection_have_the_same_place(collection):
    orders = [entry.claim.order for entry in claims.load_claims(SHIPPED, collection=collection)]
    assert len(orders) == len(set(orders))


@pytest.mark.parametrize(
    ("status", "message"), [("interrupted", "stopped; the same command"), ("failed", "not all runs are done")]
)
def test_a_claim_whose_runs_are_not_done_has_no_verdict(tmp_path, monkeypatch, status, message):
    """After an interrupt the next one has none either; after a failure it is still run."""
    from trainlab.claims import execution
    from trainlab.sweeps.local_engine import LocalEngine
    from trainlab.sweeps.outcome import Outcome

    def end(self, plan, *_):
        return [Outcome(job.run_id, job.label, status) for job in plan.todo]

    monkeypatch.setattr(LocalEngine, "run", end)
    monkeypatch.setattr(execution, "check_architectures", lambda *_: None)
    for name in ("first", "second"):
        put(tmp_path, name, claim())
    code, out, _ = call("run", "--experiments", tmp_path, "--runs", tmp_path / "runs")
    assert code == 1
    assert message in out
    assert ("second: " in out) == (status == "failed")
    assert not list(tmp_path.glob("*/result.json"))
