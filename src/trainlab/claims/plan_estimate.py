"""What planned claims cost: steps, and time by a card's rates or by trials on this machine."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainlab.claims.card_rates import MEASURED_NETWORKS, CardRates, CardTimes, read_rates
from trainlab.claims.course_plan import ClaimPlan, CoursePlanner
from trainlab.claims.execution import ClaimOptions, ExecutionContext
from trainlab.claims.jobs import ClaimComposer
from trainlab.claims.registry import ClaimFile
from trainlab.claims.training_work import TrainingWork, network_sizes, training_work
from trainlab.config import compose
from trainlab.errors import RequestError
from trainlab.process_limits import available_cores
from trainlab.sweeps.estimate import TimedKinds, time_kinds
from trainlab.sweeps.forkserver import ForkServer
from trainlab.sweeps.local_engine import LocalEngine
from trainlab.sweeps.plan import Plan, Task
from trainlab.sweeps.slots import SlotSettings, visible_gpus
from trainlab.sweeps.structure import structure_key
from trainlab.terminal import PlainConsole
from trainlab.units import pluralize

NOT_TIMED = "no times: there is no GPU here, and no rates of one were given (--rates FILE)"
OF_RATES = (
    "estimates, to two digits: other networks than the measured ones scale by their multiply-adds and "
    "layers, where wide layers take less than that; validation and signals are not in them"
)


@dataclass(frozen=True)
class Amount:
    """Some tasks in numbers. `seconds` is None where no time is known.

    `least_seconds`: what their multiply-adds take at the rate of a large matrix product on the card.
    """

    runs: int
    stacks: Sequence[int]
    alone: int
    steps: int
    seconds: float | None
    least_seconds: float | None


@dataclass(frozen=True)
class ClaimCost:
    """A planned claim with what it costs: up to its first look, and at most."""

    plan: ClaimPlan
    steps_of_a_run: tuple[int, int] | None
    first: Amount
    most: Amount


@dataclass(frozen=True)
class CourseCost:
    """All of them. `source`: where the times come from; `stacks`: what the sizes of the stacks rest on."""

    profile: str
    claims: Sequence[ClaimCost]
    source: str
    stacks: str
    card: str | None
    rates: Path | None

    def total(self, look: int) -> Amount:
        """Of all claims, up to the first look of each (0), or at most (−1)."""
        amounts = [claim.first if look == 0 else claim.most for claim in self.claims]
        return Amount(
            sum(amount.runs for amount in amounts),
            [size for amount in amounts for size in amount.stacks],
            sum(amount.alone for amount in amounts),
            sum(amount.steps for amount in amounts),
            _sum_if_all_known([amount.seconds for amount in amounts]),
            _sum_if_all_known([amount.least_seconds for amount in amounts]),
        )


def _sum_if_all_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


@dataclass(frozen=True)
class _Times:
    """Seconds of a task, where known, the least it can take, and in words where they come from."""

    source: str
    seconds: Callable[[Task], float] | None = None
    least_seconds: Callable[[Task], float] | None = None
    card: str | None = None


def estimate_course(
    entries: Sequence[ClaimFile],
    options: ClaimOptions,
    server: ForkServer,
    rates: Path | None = None,
    stack: int | None = None,
) -> CourseCost:
    """Plans claims and estimates them; nothing is started, and nothing written into the runs.

    rates: a file of the proof kit. Without, the first steps of a few runs are timed here, if they can be.

    Raises:
        RequestError: a claim cannot be run as it stands, data are missing, or the file has no rates.
    """
    entries = [e for e in entries if not e.claim.profile(options.profile).not_testable]
    measured = None if rates is None else read_rates(rates)
    if measured is not None and options.profile != "gpu":
        raise RequestError(f"rates {rates}: of {measured.card}; expected profile gpu, got {options.profile}")
    planner = CoursePlanner(ExecutionContext(options, ClaimComposer(), server, PlainConsole()), stack)
    plans = planner.plan(entries)
    works = _works(plans, server)
    times = (
        _timed_here(plans, options, server) if measured is None else _timed_on_card(measured, works, server)
    )
    if options.profile != "gpu":
        stacks = "no stacks: a CPU runs each on its own"
    elif planner.assumed_stack is None:
        stacks = "stacks as large as the memory of this GPU has room for, measured"
    else:
        stacks = f"stacks of at most {planner.assumed_stack}: assumed, a GPU's memory decides"
    claims = [_cost(plan, works, times) for plan in plans]
    return CourseCost(options.profile, claims, times.source, stacks, times.card, rates)


def _least_seconds(
    product_flops: float | None, works: dict[str, TrainingWork]
) -> Callable[[Task], float] | None:
    if product_flops is None:
        return None
    return lambda task: len(task.jobs) * works[_key(task)].flops / product_flops


def _key(task: Task) -> str:
    return structure_key(task.jobs[0].settings)


def _all_tasks(plans: Iterable[ClaimPlan]) -> list[Task]:
    return [task for plan in plans for task in (*plan.first, *plan.most)]


def _works(plans: Sequence[ClaimPlan], server: ForkServer) -> dict[str, TrainingWork]:
    settings = {_key(task): task.jobs[0].settings for task in _all_tasks(plans)}
    found = server.call(training_work, list(settings.values())) if settings else []
    return dict(zip(settings, found, strict=True))


def _timed_on_card(measured: CardRates, works: dict[str, TrainingWork], server: ForkServer) -> _Times:
    """By the rates that the proof kit measured on a card."""
    sizes = server.call(network_sizes, [compose(list(words)) for words in MEASURED_NETWORKS.values()])
    on_card = CardTimes(measured, dict(zip(MEASURED_NETWORKS, sizes, strict=True)))
    source = f"rates of {measured.card}, measured by make gpu-check ({measured.path}); {OF_RATES}"
    if not measured.start_seconds:
        source += "; the start of a run, its test and its record are not either"
    return _Times(
        source,
        lambda task: on_card.seconds(works[_key(task)], len(task.jobs)),
        _least_seconds(measured.product_flops, works),
        measured.card,
    )


def _timed_here(plans: Sequence[ClaimPlan], options: ClaimOptions, server: ForkServer) -> _Times:
    """By trials: of each claim a few kinds of its tasks, as `sweep.plan_only` does of a sweep."""
    if options.profile == "gpu" and not visible_gpus():
        return _Times(NOT_TIMED)
    timed: list[TimedKinds] = []
    by_task: dict[tuple[str, int], float] = {}
    for plan in plans:
        if plan.most:
            kinds = time_kinds(plan.most, server)
            if not kinds.trials:
                return _Times(f"no times: the trial of {plan.entry.name} failed; a run will say why")
            timed.append(kinds)
            by_task |= {_name(task): kinds.seconds(task) for task in (*plan.first, *plan.most)}
    trials = sum(len(kinds.trials) for kinds in timed)
    device = "its GPU" if options.profile == "gpu" else f"{pluralize(available_cores(), 'core')}"
    at_once = _at_once(plans, options)
    source = f"the first steps of {pluralize(trials, 'run')}, timed on this machine"
    return _Times(f"{source} ({device}, {at_once} at a time)", lambda task: by_task[_name(task)] / at_once)


def _name(task: Task) -> tuple[str, int]:
    return task.id, len(task.jobs)


def _at_once(plans: Sequence[ClaimPlan], options: ClaimOptions) -> int:
    jobs = [job for plan in plans for task in plan.most for job in task.jobs]
    if not jobs:
        return 1
    plan = Plan("", options.runs, (), jobs, [], jobs)
    return LocalEngine(SlotSettings(slots=options.slots)).slots(plan)


def _cost(plan: ClaimPlan, works: dict[str, TrainingWork], times: _Times) -> ClaimCost:
    steps = [works[_key(task)].steps for task in plan.most]
    return ClaimCost(
        plan, (min(steps), max(steps)) if steps else None,
        _amount(plan.first, works, times), _amount(plan.most, works, times),
    )  # fmt: skip


def _amount(tasks: Sequence[Task], works: dict[str, TrainingWork], times: _Times) -> Amount:
    stacks = [len(task.jobs) for task in tasks if task.stack is not None]
    runs = sum(len(task.jobs) for task in tasks)
    steps = sum(len(task.jobs) * works[_key(task)].steps for task in tasks)
    seconds = None if times.seconds is None else sum(map(times.seconds, tasks))
    least = None if times.least_seconds is None else sum(map(times.least_seconds, tasks))
    return Amount(runs, stacks, runs - sum(stacks), steps, seconds, least)
