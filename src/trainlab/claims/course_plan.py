"""What `trainlab claims run` would start of some claims, one after the other; nothing is started or written.

A run that several claims ask for is trained once, for the first of them. Seeds are added one at a
time: there are two amounts, as far as the first look, and with all seeds that a claim may have.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from trainlab.claims import arm_tuning, execution
from trainlab.claims.execution import ExecutionContext, PlannedJobs
from trainlab.claims.jobs import seeds_of_looks
from trainlab.claims.registry import ClaimFile
from trainlab.settings import SweepSettings
from trainlab.sweeps.local_engine import LocalEngine
from trainlab.sweeps.plan import Job, Plan, Task
from trainlab.sweeps.slots import SlotSettings, visible_gpus
from trainlab.sweeps.stack_memory import MAX_STACK
from trainlab.sweeps.stacks import plan_stacks, plan_stacks_of_at_most


@dataclass(frozen=True)
class ClaimPlan:
    """What of a claim is started: up to its first look, and at most.

    `seeds` has how many there are at each look, `tuning_runs` how many runs tuning asks for; `is_tuned`: they
    are done, and what is planned are the arms with what they found.
    """

    entry: ClaimFile
    seeds: Sequence[int]
    tuning_runs: int
    is_tuned: bool
    first: Sequence[Task]
    most: Sequence[Task]

    @property
    def arms(self) -> int:
        """How many arms are trained."""
        return len(self.entry.claim.trained_arms)

    def requested_runs(self, look: int) -> int:
        """The runs that a look (0, or −1: the last) rests on, those of tuning included, done or not."""
        return self.tuning_runs + self.arms * self.seeds[look]


@dataclass(frozen=True)
class _Part:
    """What is started together: the tuning runs, or those that one look adds, by their ids."""

    planned: PlannedJobs
    run_ids: Collection[str]


class CoursePlanner:
    """Plans claims. `stack`: the most runs of a stack; None: by the memory of the GPU that is here.

    Without a GPU, and without `stack`, there is room for the largest stack that there ever is.
    """

    def __init__(self, context: ExecutionContext, stack: int | None = None) -> None:
        self._context = context
        self._stack = MAX_STACK if stack is None and not visible_gpus() else stack
        self._stacked: dict[tuple[str, ...], Sequence[Task]] = {}

    @property
    def assumed_stack(self) -> int | None:
        """The most runs of a stack, where that is assumed and not measured."""
        return self._stack

    def plan(self, entries: Sequence[ClaimFile]) -> list[ClaimPlan]:
        """Each claim with what is left to start of it. Raises RequestError, as running it would."""
        kept_first: dict[str, bool] = {}
        kept_most: dict[str, bool] = {}
        return [self._plan_claim(entry, kept_first, kept_most) for entry in entries]

    def _plan_claim(
        self, entry: ClaimFile, kept_first: dict[str, bool], kept_most: dict[str, bool]
    ) -> ClaimPlan:
        """kept: the runs that the claims before have started, and whether those keep their weights."""
        entry, of_tuning, tuning_runs = self._plan_tuning(entry)
        is_tuned = bool(tuning_runs) and not of_tuning
        options = self._context.options
        seeds = seeds_of_looks(entry, options.profile)
        looks = self._looks(entry, seeds)
        return ClaimPlan(
            entry, seeds, tuning_runs, is_tuned,
            first=self._tasks(entry, [*of_tuning, *looks[:1]], kept_first),
            most=self._tasks(entry, [*of_tuning, *looks], kept_most),
        )  # fmt: skip

    def _plan_tuning(self, entry: ClaimFile) -> tuple[ClaimFile, list[_Part], int]:
        """The claim with what tuning has found, or a stand-in for it; what is to start, as far as it can be
        known; and how many runs tuning asks for. What a ladder is widened by follows from these runs."""
        ladders = arm_tuning.first_ladders(entry)
        while True:
            jobs = arm_tuning.tuning_jobs(entry, self._context, ladders)
            if not jobs:
                return entry, [], 0
            planned = execution.plan_jobs(entry, jobs, self._context)
            if planned.plan.todo or planned.again:
                return _with_first_candidate(entry), [_Part(planned, planned.plan.run_ids)], len(jobs)
            folders = planned.folders(jobs)
            wider = arm_tuning.widened(entry, folders, ladders)
            if wider == ladders:
                return arm_tuning.choose_candidates(entry, folders, ladders)[0], [], len(jobs)
            ladders = wider

    def _looks(self, entry: ClaimFile, seeds: Sequence[int]) -> list[_Part]:
        options = self._context.options
        jobs = self._context.composer.jobs(entry, options.profile, range(seeds[-1]), *options.overrides())
        if not jobs:
            return []
        planned = execution.plan_jobs(entry, jobs, self._context)
        ends = [count * len(entry.claim.trained_arms) for count in seeds]  # jobs come seed by seed
        begins = [0, *ends[:-1]]
        ids = planned.plan.requested
        return [_Part(planned, set(ids[a:b])) for a, b in zip(begins, ends, strict=True)]

    def _tasks(self, entry: ClaimFile, parts: Sequence[_Part], kept: dict[str, bool]) -> list[Task]:
        tasks: list[Task] = []
        for part in parts:
            for jobs in (part.planned.plan.todo, part.planned.again):
                ours = [job for job in jobs if job.run_id in part.run_ids]
                todo = [job for job in ours if not _is_kept(job, kept, entry.claim.needs_weights)]
                tasks += self._stacked_tasks(replace(part.planned.plan, todo=todo))
                kept.update({job.run_id: job.settings.checkpoint != "none" for job in todo})
        return tasks

    def _stacked_tasks(self, plan: Plan) -> Sequence[Task]:
        key = tuple(job.run_id for job in plan.todo)
        if key not in self._stacked:
            self._stacked[key] = self._stack_plan(plan).tasks if plan.todo else []
        return self._stacked[key]

    def _stack_plan(self, plan: Plan) -> Plan:
        if self._stack is not None:
            return plan_stacks_of_at_most(plan, self._stack)
        engine = LocalEngine(SlotSettings(slots=self._context.options.slots))
        return plan_stacks(plan, SweepSettings(), engine, self._context.server)[0]


def _with_first_candidate(entry: ClaimFile) -> ClaimFile:
    """Stands for the claim whose tuning is not done: an arm has as many runs with any candidate."""
    candidates = [] if entry.claim.tune is None else entry.claim.tune.first_candidates()
    return arm_tuning.with_candidates(entry, dict.fromkeys(entry.claim.tuned_arms, candidates[0]))


def _is_kept(job: Job, kept: Mapping[str, bool], needs_weights: bool) -> bool:
    """Whether an earlier claim leaves a run as this one needs it."""
    return job.run_id in kept and (kept[job.run_id] or not needs_weights)
