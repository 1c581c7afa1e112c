"""`trainlab workspace`: what the view and the report say is what was recorded, and what W&B has logged."""

import json
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from trainlab.claims import collection_pages
from trainlab.claims.evidence_text import observed_text
from trainlab.claims.registry import load_claims
from trainlab.runs import load_runs
from trainlab.wandb_sync.sweep_view import STEP

CLAIMS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def workspace(environment, call_command):
    """`trainlab workspace …` in this process, with no key; (exit code, what it printed, its error line)."""
    return partial(call_command, "workspace")


def logged_keys(runs: Path) -> set[str]:
    """The keys of history in the offline files, by W&B's own reader."""
    keys = set()
    for file in runs.glob("*/wandb/offline-run-*/*.wandb"):
        command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
        for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
            keys |= set(json.loads(line).get("history", {}).get("item", {}))
    return keys


def sections(view: dict) -> dict[str, list[dict]]:
    """Title of each section to its panels."""
    bank = view["spec"]["section"]["panelBankConfig"]
    return {section["name"]: section["panels"] for section in bank["sections"]}


def test_the_view_of_a_sweep_groups_by_what_differs_and_asks_for_keys_that_were_logged(workspace, tracked):
    code, out, err = workspace("pair", "--runs", str(tracked))
    assert code == 0 and err == "" and out.count("\n") == 1
    assert "written to pair.workspace.json" in out and "wandb login" in out
    view = json.loads(Path("pair.workspace.json").read_text(encoding="utf-8"))
    (of_runs,) = view["spec"]["section"]["runSets"]
    assert [group["name"] for group in of_runs["grouping"]] == [
        "axes.value.activation",
        "axes.value.norm_layer",
    ]
    assert {group["section"] for group in of_runs["grouping"]} == {"config"}
    shown = sections(view)
    charts = [p["config"] for panels in shown.values() for p in panels if "Line" in p["viewType"]]
    asked = {key for chart in charts for key in chart["metrics"]}
    logged = logged_keys(tracked)
    assert asked | {STEP} <= logged
    assert {chart["xAxis"] for chart in charts} == {STEP}
    assert {"train/loss", "val/loss", "train/acc", "val/acc"} <= asked
    layers = {key.split("/")[1] for key in logged if key.startswith("signals/")} - {"network"}
    gradients = {p["config"]["metrics"][0] for p in shown["Gradient, layer by layer"]}
    assert gradients == {f"signals/{layer}/preactivation_grad_norm" for layer in layers}
    (parallel,) = [p for p in shown["What came out"] if "Parallel" in p["viewType"]]
    assert [column["accessor"] for column in parallel["config"]["columns"]] == [
        "config:axes.value.activation",
        "config:axes.value.norm_layer",
        "summary:test/acc",
        "summary:test/loss",
    ]


def test_the_view_holds_the_runs_of_the_sweep_and_those_that_another_had_run_before(workspace, tracked):
    workspace("pair", "--runs", str(tracked), "--out", "view.json")
    view = json.loads(Path("view.json").read_text(encoding="utf-8"))
    (of_runs,) = view["spec"]["section"]["runSets"]
    (before,) = load_runs(tracked).filter(group="earlier")["run_id"]
    group, ids = of_runs["filters"]["filters"]
    assert (group["key"]["name"], group["value"]) == ("group", "pair")
    assert (ids["key"]["name"], ids["value"], ids["connector"]) == ("name", [before], "OR")


def test_the_same_sweep_is_the_same_file(workspace, tracked):
    texts = set()
    for name in ("one.json", "two.json"):
        assert workspace("pair", "--runs", str(tracked), "--out", name)[0] == 0
        texts.add(Path(name).read_bytes())
    assert len(texts) == 1


def test_without_an_answer_from_the_server_it_writes_the_file_and_says_so(trainlab, tracked, tmp_path):
    code, out, err = trainlab("http://127.0.0.1:9", "workspace", "pair", "--runs", str(tracked))
    assert code == 0 and err == "" and out.count("\n") == 1
    assert "written to pair.workspace.json (W&B cannot be reached at http://127.0.0.1:9: " in out
    assert (tmp_path / "pair.workspace.json").is_file()


def test_with_a_server_view_and_report_are_saved_there(trainlab, workspace, server, tracked, tmp_path):
    for name in ("lenet5-anatomy", "deep-sigmoid-vanishes"):  # exact, without runs; and with runs
        shutil.copytree(CLAIMS / name, tmp_path / "experiments" / name)
    arguments = ("pair", "--report", "--runs", str(tracked))
    code, out, err = trainlab(server.url, "workspace", *arguments)
    assert code == 0, err
    assert len(re.findall(rf"{server.url}/tester/trainlab\S*", out)) == out.count("\n") == 2
    view, report = server.views
    assert (view["entityName"], view["projectName"], view["displayName"]) == ("tester", "trainlab", "pair")
    workspace(*arguments, "--out", "view.json")
    assert json.loads(view["spec"]) == json.loads(Path("view.json").read_text(encoding="utf-8"))["spec"]
    blocks = json.loads(report["spec"])["blocks"]
    written = Path("view.report.md").read_text(encoding="utf-8")
    texts = [block["content"] for block in blocks if block["type"] == "markdown-block"]
    assert len(texts) == 2 and all(text in written for text in texts)
    (grid,) = [block["metadata"] for block in blocks if block["type"] == "panel-grid"]
    record = collection_pages.read_records(load_claims(CLAIMS))["deep-sigmoid-vanishes"]
    ids = [run_id for arm in record.arms for run_id in arm.runs.values()]
    assert grid["runSets"][0]["filters"]["filters"][0]["value"] == ids


def test_where_the_server_refuses_the_file_is_written_and_the_command_fails(
    trainlab, server, tracked, tmp_path
):
    server.unauthorized = True
    code, out, _ = trainlab(server.url, "workspace", "pair", "--runs", str(tracked))
    assert code == 1 and "(W&B refused it: " in out and out.count("\n") == 1
    assert (tmp_path / "pair.workspace.json").is_file() and not server.views


def test_the_report_has_every_claim_that_was_run_with_verdict_and_picture(workspace):
    code, out, _ = workspace("--report", "--experiments", str(CLAIMS))
    found = collection_pages.read_records(load_claims(CLAIMS))
    assert code == 0 and f"the report of {len(found)} claims: written to claims.report.md" in out
    text = Path("claims.report.md").read_text(encoding="utf-8")
    for name, (verdict, _) in collection_pages.verdicts_by_claim(found).items():
        record = found[name]
        part = text.split(f"## {record.question}\n")[1].split("\n## ")[0]
        assert record.statement in part and verdict in part.lower()
        assert all(observed_text(expectation) in part for expectation in record.expectations)
        assert f"trainlab claims run {name}" in part
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]*)\)", text)
    assert pictures and all((Path.cwd() / picture).is_file() for picture in pictures)


@pytest.mark.parametrize(
    "arguments,said",
    [
        ([], "expected the name of a sweep, or --report"),
        (["pairs"], "did you mean 'pair'"),
        (["--report", "--experiments", "nowhere"], "no claims in nowhere"),
    ],
)
def test_a_wrong_request_is_one_line(workspace, tracked, arguments, said):
    code, out, err = workspace(*arguments, "--runs", str(tracked))
    assert code == 2 and out == "" and said in err and err.count("\n") == 1


def test_a_sweep_that_has_not_begun(workspace, tmp_path):
    from trainlab.runs.groups import add_to_group

    add_to_group(tmp_path / "runs", "later", ["0123456789ab"])
    code, _, err = workspace("later", "--runs", str(tmp_path / "runs"))
    assert code == 2 and "none of the 1 runs of the sweep 'later' has begun" in err
