"""The runs of a plan become stacks: partitioned by their structure, cut by the memory of the device.

`sweep.stack=auto` stacks on a GPU, N stacks on any device, at most N runs at once; what cannot be stacked is
run on its own, with the reason.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from trainlab.errors import RequestError
from trainlab.process_limits import allow_open_files
from trainlab.settings import RunSettings, SweepSettings
from trainlab.sweeps.engine import Engine
from trainlab.sweeps.forkserver import ForkServer
from trainlab.sweeps.plan import Job, Plan, Task
from trainlab.sweeps.slots import visible_gpus
from trainlab.sweeps.stack_memory import LARGER_PROBE, StackMemory, probe_stacks
from trainlab.sweeps.structure import (
    differing_values,
    free_values,
    has_own_model,
    structure_key,
    structures_in_words,
    why_alone,
)
from trainlab.units import pluralize

MAX_LINES = 40
_OWN_MODEL = "a model of your own is stacked as a loop over the runs: sweep.stack=N does it"
_ON_CPU = "on a CPU: sweep.stack=N stacks there too"
_NO_GPU_HERE = "no stacks: auto measures their memory on a GPU, and sees none here; sweep.stack=N stacks"


@dataclass(frozen=True)
class Partition:
    """Runs of one structure, in words; what they differ in; the sizes of their stacks."""

    jobs: Sequence[Job]
    words: Sequence[str]
    differing: Sequence[str]
    sizes: Sequence[int] = ()

    @property
    def tasks(self) -> Iterator[Task]:
        """Its stacks, in the order of the plan."""
        begin = 0
        name = " ".join(word.removeprefix("model=") for word in self.words)
        for size in self.sizes:
            yield Task(tuple(self.jobs[begin : begin + size]), name)
            begin += size

    def describe(self) -> str:
        """`stack of 32 × 4: model=lenet5 activation=relu data=mnist; differs in: seed, init`."""
        counts = {size: self.sizes.count(size) for size in self.sizes}
        sizes = ", ".join(f"{size} × {count}" if count > 1 else str(size) for size, count in counts.items())
        unlike = f"; differs in: {', '.join(self.differing)}" if self.differing else ""
        return f"stack of {sizes}: {' '.join(self.words)}{unlike}"


@dataclass(frozen=True)
class Stacking:
    """The stacks of a plan, and by reason the runs that are none of any."""

    partitions: Sequence[Partition]
    alone: Mapping[str, Sequence[Job]]

    def tasks(self) -> list[Task]:
        """The stacks first: they take longest."""
        stacks = [task for partition in self.partitions for task in partition.tasks]
        return [*stacks, *(Task((job,)) for jobs in self.alone.values() for job in jobs)]

    def lines(self) -> list[str]:
        """A line for each partition, and for each reason why runs are on their own."""
        lines = [partition.describe() for partition in self.partitions]
        if len(lines) > MAX_LINES:
            lines = [*lines[:MAX_LINES], f"and {len(lines) - MAX_LINES} more kinds of stacks"]
        return lines + [_alone_line(jobs, reason) for reason, jobs in self.alone.items()]

    def summary(self) -> list[str]:
        """One line for a sweep that is run; none where there are no stacks."""
        sizes = [size for partition in self.partitions for size in partition.sizes]
        if not sizes:
            return []
        alone = sum(map(len, self.alone.values()))
        rest = f", {pluralize(alone, 'run')} alone" if alone else ""
        return [f"{pluralize(sum(sizes), 'run')} in {pluralize(len(sizes), 'stack')} of {_span(sizes)}{rest}"]


def _span(sizes: Sequence[int]) -> str:
    return str(min(sizes)) if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"


def _alone_line(jobs: Sequence[Job], reason: str) -> str:
    return f"{pluralize(len(jobs), 'run')} alone{f': {reason}' if reason else ''}"


def plan_stacks(
    plan: Plan, sweep: SweepSettings, engine: Engine, server: ForkServer
) -> tuple[Plan, list[str]]:
    """The plan with its stacks, and what to say of them: a line or two, with `plan_only` all of them."""
    if sweep.stack == "off" or not plan.todo:
        return plan, []
    if sweep.stack == "auto" and not visible_gpus():
        is_for_gpu = engine.takes_stacks and plan.todo[0].settings.trainer.accelerator == "gpu"
        return plan, [_NO_GPU_HERE] if is_for_gpu else []
    if reason := _why_no_stacks(sweep, engine):
        return plan, [f"no stacks: {reason}"] if sweep.stack != "auto" else []
    parts, alone = partition_jobs(plan.todo, sweep.stack)
    if isinstance(sweep.stack, int):
        cut = [replace(part, sizes=equal_sizes(len(part.jobs), sweep.stack)) for part in parts]
        stacking = Stacking(cut, alone)
    else:
        slots = engine.slots(plan)
        stacking = _cut_by_memory(parts, alone, slots, engine.tasks_per_gpu, server)
    if not stacking.partitions:
        # a run tells why where it was meant to be stacked
        return plan, stacking.lines() if sweep.plan_only or parts else []
    allow_open_files(len(plan.todo))  # of each run that goes, this process holds the reservation
    lines = stacking.lines() if sweep.plan_only else stacking.summary()
    return replace(plan, stacked=stacking.tasks()), lines


def plan_stacks_of_at_most(plan: Plan, most: int) -> Plan:
    """The plan as `sweep.stack=auto` has it on one GPU whose memory has room for stacks of `most` runs.

    For planning where there is none; nothing is measured.
    """
    parts, alone = partition_jobs(plan.todo, "auto")
    if most == 1 or not parts:
        return plan
    cut = [replace(part, sizes=equal_sizes(len(part.jobs), most)) for part in parts]
    return replace(plan, stacked=Stacking(cut, alone).tasks())


def _why_no_stacks(sweep: SweepSettings, engine: Engine) -> str | None:
    if not engine.takes_stacks:
        return "this launcher takes single runs; expected hydra/launcher=local, ray or submitit_slurm"
    if sweep.prune != "none":
        return f"sweep.prune={sweep.prune} judges single runs; expected sweep.prune=none beside sweep.stack"
    return None


# Partitions


def partition_jobs(jobs: Sequence[Job], stack: int | str) -> tuple[list[Partition], dict[str, list[Job]]]:
    """The runs by their structure, each once, and by reason those that are run alone.

    stack: `sweep.stack`; for `auto` also what gains nothing by it is run alone.
    """
    by_structure: dict[str, list[Job]] = {}
    values: dict[str, list[Mapping[str, object]]] = {}
    alone: dict[str, list[Job]] = {}
    for job in jobs:
        settings = job.settings
        if reason := why_alone(settings) or (_why_not_by_itself(settings) if stack == "auto" else None):
            alone.setdefault(reason, []).append(job)
        else:
            key = structure_key(settings)
            by_structure.setdefault(key, []).append(job)
            values.setdefault(key, []).append(free_values(settings))
    if stack == "auto":
        single = [key for key, members in by_structure.items() if len(members) == 1]
        for key in single:
            alone.setdefault("no other run has its structure", []).extend(by_structure.pop(key))
    words = structures_in_words([members[0].settings for members in by_structure.values()])
    parts = [
        Partition(members, words_of, differing_values(values[key]))
        for (key, members), words_of in zip(by_structure.items(), words, strict=True)
    ]
    return parts, alone


def _why_not_by_itself(settings: RunSettings) -> str | None:
    if settings.trainer.accelerator not in ("auto", "gpu"):
        return _ON_CPU
    return _OWN_MODEL if has_own_model(settings) else None


# Sizes


def equal_sizes(runs: int, most: int) -> list[int]:
    """As few stacks as there have to be, of sizes that differ by one at most, the larger ones first."""
    return _split(runs, math.ceil(runs / most))


def _split(runs: int, count: int) -> list[int]:
    return [runs // count + (i < runs % count) for i in range(count)]


def _cut_by_memory(
    parts: Sequence[Partition],
    alone: Mapping[str, Sequence[Job]],
    slots: int,
    tasks_per_gpu: int,
    server: ForkServer,
) -> Stacking:
    """Stacks as large as the memory of the first GPU allows; what does not even fit twice is run alone."""
    probed = [[job.settings for job in part.jobs[:LARGER_PROBE]] for part in parts]
    environment = {"CUDA_VISIBLE_DEVICES": visible_gpus()[0]}
    memories = _probed_memories(probed, environment, server)
    kept: list[Partition] = []
    on_their_own = {reason: list(jobs) for reason, jobs in alone.items()}
    for part, memory in zip(parts, memories, strict=True):
        most = memory.largest_stack(tasks_per_gpu) if isinstance(memory, StackMemory) else 0
        if most > 1:
            kept.append(replace(part, sizes=equal_sizes(len(part.jobs), most)))
        else:
            reason = memory if isinstance(memory, str) else "two of these do not fit into the memory together"
            on_their_own.setdefault(reason, []).extend(part.jobs)
    busy = sum(map(len, on_their_own.values()))
    return Stacking(use_all_slots(kept, slots - busy), on_their_own)


def _probed_memories(
    probed: Sequence[Sequence[RunSettings]], environment: Mapping[str, str], server: ForkServer
) -> Sequence[StackMemory | str]:
    """A probe that dies stops no sweep: what it was to measure is run alone."""
    if not probed:
        return []
    try:
        return server.call(probe_stacks, probed, environment)
    except RequestError as error:
        return [f"its memory cannot be measured: {error}"] * len(probed)


def use_all_slots(parts: Sequence[Partition], slots: int) -> list[Partition]:
    """Cuts the largest stacks further until there are as many as slots, or none has two runs left."""
    parts = list(parts)
    while parts and sum(len(part.sizes) for part in parts) < slots:
        largest = max(range(len(parts)), key=lambda i: max(parts[i].sizes))
        part = parts[largest]
        if max(part.sizes) == 1:
            break
        parts[largest] = replace(part, sizes=_split(len(part.jobs), len(part.sizes) + 1))
    return parts
