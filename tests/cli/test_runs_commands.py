"""`trainlab runs list`, `runs sweeps`, `compare`: which runs, in what order, and what is said of the rest."""

import json

import pytest

from trainlab.runs.groups import add_to_group


@pytest.fixture
def folder(recorded, tmp_path):
    """Two sweeps, a claim's run, a failed run and a proof beside it; ids by what they are."""
    runs = {
        "relu": recorded(1, "first", axes={"activation": "relu"}),
        "tanh": recorded(2, "first", axes={"activation": "tanh"}, learned=False, accuracy=0.1),
        "fast": recorded(3, "second", lr=0.1, axes={"activation": "relu"}),
        "slow": recorded(4, "second", lr=0.0001, axes={"activation": "relu"}),
        "claim": recorded(5, "claim-a-lesson", seed=7),
        "failed": recorded(6, None, seed=8, status="failed", learned=None),
        "proof": recorded(7, None, seed=9),
    }
    root = tmp_path / "runs"
    add_to_group(root, f"prove-{runs['failed'].run_id}", [runs["failed"].run_id, runs["proof"].run_id])
    add_to_group(root, "claim-a-lesson", [runs["relu"].run_id])  # a claim takes what is there already
    return root, {name: run.run_id for name, run in runs.items()}


@pytest.fixture
def listed(folder, call_command):
    """The names of the runs that a list has, in its order."""
    root, ids = folder
    names = {run_id: name for name, run_id in ids.items()}

    def ask(*arguments: str) -> list[str]:
        code, out, err = call_command("runs", "list", *arguments, "--runs", str(root), "--json")
        assert code == 0, err
        return [names[row["run_id"]] for row in json.loads(out)]

    return ask


@pytest.mark.parametrize(
    "arguments,expected",
    [
        ("", "failed slow fast tanh relu"),
        ("--all", "proof failed claim slow fast tanh relu"),
        ("--last 2", "failed slow"),
        ("--failed", "failed"),
        ("--status finished --last 1", "slow"),
        ("--group first", "tanh relu"),
        ("--group claim-a-lesson", "claim relu"),
        ("first", "tanh relu"),
        ("--where activation=relu", "slow fast relu"),
        ("--where act=relu,tanh --where lr=1e-3", "tanh relu"),
        ("--where optimizer.lr!=0.001", "slow fast"),
        ("--where learned=no", "tanh"),
        ("--where seed=8", "failed"),
        ("--where depth=4 --last 1", "failed"),
    ],
)
def test_which_runs_and_in_what_order(listed, arguments, expected):
    assert listed(*arguments.split()) == expected.split()


@pytest.mark.parametrize(
    "arguments,expected",
    [
        ("--where activation=rleu", "there are: "),
        ("--where activaton=relu", "did you mean 'activation'"),
        ("--where activation", "setting=value"),
        ("--group frist", "did you mean 'first'"),
        ("--status done", "available: "),
        ("nosuch", "nosuch"),
    ],
)
def test_what_is_not_there_is_one_line(folder, call_command, arguments, expected):
    for command in (["runs", "list"], ["compare"]):
        if command == ["compare"] and "--status" in arguments:
            continue
        code, _, err = call_command(*command, *arguments.split(), "--runs", str(folder[0]))
        assert code == 2 and expected in err and err.count("\n") == 1


def test_a_list_says_what_it_does_not_show(folder, call_command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    root, ids = folder
    code, out, _ = call_command("runs", "list", "--last", "3", "--runs", str(root))
    assert code == 0 and "the newest 3 of 5" in out and "2 runs of claims and proofs not shown: --all" in out
    for name in ("failed", "slow", "fast"):
        assert ids[name] in out, "an id is never wrapped"
    code, out, _ = call_command("runs", "list", "--group", "first", "--csv", "--runs", str(root))
    assert code == 0 and len(out.splitlines()) == 3 and out.startswith("run_id,")


def test_runs_of_another_folder_are_listed_by_path(folder, call_command, tmp_path):
    root, ids = folder
    (tmp_path / "mine").mkdir()
    code, out, _ = call_command("runs", "list", str(root / ids["relu"]), "--runs", str(tmp_path / "mine"))
    assert code == 0 and ids["relu"] in out


def test_sweeps_are_listed(folder, call_command):
    root, _ = folder
    code, out, _ = call_command("runs", "sweeps", "--runs", str(root))
    lines = out.splitlines()
    assert code == 0 and [line.split()[0] for line in lines[1:3]] == ["second", "first"]
    assert "activation=" in lines[2] and "1 of 2" in lines[2] and "prove-" not in out
    assert f"trainlab runs list --group SWEEP --runs {root}" in out
    code, out, _ = call_command(
        "runs", "sweeps", "--all", "--where", "activation=tanh", "--json", "--runs", str(root)
    )
    assert [row["sweep"] for row in json.loads(out)] == ["first"]


def test_a_folder_without_sweeps_says_so(recorded, call_command, tmp_path):
    recorded()
    code, _, err = call_command("runs", "sweeps", "--runs", str(tmp_path / "runs"))
    assert code == 2 and "no sweeps" in err


def test_compare_leaves_out_what_claims_and_proofs_have_made(folder, call_command):
    root, _ = folder
    code, out, _ = call_command("compare", "--runs", str(root), "--json")
    assert code == 0 and sum(row["runs"] for row in json.loads(out)["rows"]) == 5
    code, out, _ = call_command("compare", "--group", "second", "--runs", str(root), "--json")
    assert json.loads(out)["by"] == ["optimizer.lr"]


def test_one_seed_each_is_told_how_to_get_more(folder, call_command):
    root, _ = folder
    code, out, _ = call_command("compare", "first", "--runs", str(root))
    assert code == 0 and "±" not in out and "yes" in out and "no intervals" in out
    assert "seed=range(3)" in out and "variance" not in out


@pytest.mark.parametrize("columns", [60, 80, 130, 200])
def test_names_of_claims_are_never_broken(call_command, monkeypatch, columns):
    from trainlab.claims import registry as claims

    monkeypatch.setenv("COLUMNS", str(columns))
    code, out, _ = call_command("claims", "list")
    names = [entry.name for entry in claims.load_claims(claims.default_claims_folder())]
    assert code == 0 and len(names) > 20 and all(name in out for name in names)
    assert all(
        len(line) <= max(columns, max(map(len, names)) + len(": not testable at this budget"))
        for line in out.splitlines()
    )
