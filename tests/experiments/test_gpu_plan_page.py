"""The page of the plan: every claim with its arms and seeds; no time without a card's rates."""

import re

from experiments.gpu_plan.page import NOT_RUN, README, RESULTS, results_to_use

from trainlab.claims import registry


def planned_claims() -> list[registry.ClaimFile]:
    """The claims that have a GPU's budget."""
    entries = registry.load_claims(README.parents[1])
    return [
        entry
        for entry in entries
        if "gpu" in entry.claim.profile_names and entry.claim.profile("gpu").not_testable is None
    ]


def rows() -> dict[str, list[str]]:
    lines = README.read_text(encoding="utf-8").splitlines()
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| [")
    ]
    return {re.findall(r"`(.+)`", row[0])[0]: row[1:] for row in cells}


def test_the_page_has_every_claim_with_its_arms_and_seeds():
    entries = planned_claims()
    page = rows()
    assert list(page) == [entry.name for entry in entries]
    for entry in entries:
        seeds = entry.claim.profile("gpu").seeds
        span = f"{seeds.first}" if seeds.first == seeds.most else f"{seeds.first} to {seeds.most}"
        arms = len(entry.claim.trained_arms)
        assert page[entry.name][0] == (f"{arms} × {span}" if arms else "nothing is trained")


def test_no_more_runs_are_planned_than_the_claims_ask_for():
    for entry in planned_claims():
        tune = entry.claim.tune
        tuning = len(entry.claim.tuned_arms) * len(tune.first_candidates()) * tune.seeds if tune else 0
        most = tuning + len(entry.claim.trained_arms) * entry.claim.profile("gpu").seeds.most
        _, tuning_runs, runs, *_ = rows()[entry.name]
        assert tuning_runs == (str(tuning) if tuning else "–")
        assert int(runs.split()[-1].replace("–", "0")) <= most


def test_times_and_the_note_that_there_are_none_go_together():
    text = README.read_text(encoding="utf-8")
    has_times = any(row[5] != "–" for row in rows().values())
    assert (NOT_RUN in text) != has_times
    assert has_times == ("measured by make gpu-check" in text)


def test_the_newest_record_is_taken(tmp_path):
    assert results_to_use(tmp_path) is None
    assert RESULTS.parts[-3:] == ("benchmarks", "results", "gpu")
    (tmp_path / "h100.json").write_text("{}")
    found = results_to_use(tmp_path)
    assert found is not None and found.resolve() == (tmp_path / "h100.json").resolve()
