"""The zoo's runs, by the platform itself: a list of settings becomes a plan, the plan becomes runs."""

from dataclasses import replace
from pathlib import Path

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser

from experiments.preflight.design import points
from trainlab.config.bulk import BulkComposer
from trainlab.config.options import package_conf
from trainlab.sweeps.local import LocalEngine
from trainlab.sweeps.outcome import Outcome
from trainlab.sweeps.plan import Plan, make_plan, record_plan
from trainlab.sweeps.server import WarmServer
from trainlab.sweeps.slots import SlotSettings
from trainlab.sweeps.watch import Silent

GROUP = "preflight-zoo"
SWEEP = {"rerun": False, "retry_failed": True, "run_timeout": 300.0}


def plan(runs: Path) -> Plan:
    """All runs of the zoo, with what is left to do: the folder of runs is the truth.

    Raises:
        RequestError: a point of the design that the platform refuses.
    """
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(package_conf()), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        parser = OverridesParser.create(config_loader=loader)
        own = [f"paths.runs={runs.absolute()}", f"group={GROUP}"]
        jobs = [parser.parse_overrides([*lines, *own]) for lines in points()]
        return make_plan(jobs, BulkComposer(loader).compose, SWEEP)


def train(runs: Path, most: int | None = None) -> list[Outcome]:
    """Trains what is left to do, or the first `most` of it, one run a core."""
    whole = plan(runs)
    record_plan(whole)
    chunk = replace(whole, todo=list(whole.todo)[:most])
    print(f"{whole.describe()}; now {len(chunk.todo)}", flush=True)
    if not chunk.todo:
        return []
    with WarmServer() as server:
        return LocalEngine(SlotSettings(threads=1)).run(chunk, SWEEP, server, Silent())
