"""Runs in a stack against the same runs alone, by `sweep.stack=N` and `sweep.stack=off`."""

import math
import re
from concurrent.futures import ThreadPoolExecutor
from statistics import mean

from benchmarks.gpu.lab import LENET, PLAIN_CNN, Command, Lab, largest_difference, losses_of, tail

FIRST_LOSS, FEW_LOSSES = 1e-5, 5e-3
"""Largest differences, relative to max(1, loss), of the first step and of the first twenty, in float32."""
MARGIN, LEVEL = 0.01, 0.05
"""Accuracies are equal within a point, by two one-sided tests."""
SMALL_MEMORY = "per_process_memory_fraction:0.02"


def stack_equals_single(lab: Lab) -> None:
    """Runs that differ in seed, rate and initializer: first loss, twenty losses, accuracy over seeds."""
    from trainlab.stats.hypothesis_tests import equivalence_test

    lab.need_stacks()
    runs, steps = lab.size(16, 4), lab.size(300, 20)
    size = (
        *LENET, "data.val_size=1000", f"data.test_size={lab.size(10000, 500)}", f"trainer.max_steps={steps}",
        "signals=false", *_exact(lab), f"seed=range({runs // 2})", "init=kaiming,orthogonal",
    )  # fmt: skip
    _both(lab, size, f"sweep.stack={lab.size(8, 4)}")
    pairs = _pairs(lab)
    lab.check("every run has both records", len(pairs) == runs, f"{len(pairs)} of {runs}")
    first = max(largest_difference(alone[:1], stacked[:1]) for alone, stacked in pairs.values())
    few = max(largest_difference(alone[:20], stacked[:20]) for alone, stacked in pairs.values())
    lab.check(
        "the first loss", first <= FIRST_LOSS, f"largest difference {first:.1e}, expected ≤ {FIRST_LOSS:g}"
    )
    lab.check("the first twenty losses", few <= FEW_LOSSES, f"{few:.1e}, expected ≤ {FEW_LOSSES:g}")
    accuracies = {
        name: {r.run_id: r.metrics.get("test/acc") or 0.0 for r in lab.results(name)} for name in NAMES
    }
    differences = [accuracies["stacked"][run_id] - accuracies["single"][run_id] for run_id in pairs]
    p = equivalence_test(differences, lab.size(MARGIN, 0.1)).p_for
    lab.check(
        "accuracies over seeds (TOST)", p <= LEVEL, f"mean difference {mean(differences):+.3%}, p = {p:.2g}"
    )
    machines = [str(result.machine) for result in lab.results("stacked")]
    lab.check("the record says `stack`", all("stack" in machine for machine in machines), machines[0])
    lab.tell(accuracy_differences=differences)
    lab.headline(
        f"{runs} runs: first loss to {first:.0e}, twenty losses to {few:.0e}, "
        f"accuracy {mean(differences):+.2%}, p = {p:.2g}"
    )


def stack_neighbour(lab: Lab) -> None:
    """A stack in which one run diverges, and the same stack in which it does not; in this process, so that
    both have the same kernels."""
    lab.need_stacks()
    from trainlab.training.stack import train_stack

    lab.configure()
    size = (
        *PLAIN_CNN, "optimizer=sgd", "norm_layer=batchnorm", "data.val_size=1000", "data.test_size=500",
        "signals=false", f"trainer.max_steps={lab.size(200, 12)}", *_exact(lab),
    )  # fmt: skip
    rates = {"calm": (0.01, 0.02, 0.05, 0.03), "wild": (0.01, 0.02, 0.05, 1e30)}
    results = {
        name: train_stack([lab.settings(*size, f"optimizer.lr={rate}", runs=name) for rate in rates_of])
        for name, rates_of in rates.items()
    }
    diverged = [result for result in results["wild"] if result.status == "diverged"]
    lab.check("one diverges, with its step", len(diverged) == 1, str([result.stopped for result in diverged]))
    calm = {result.run_id for result in results["calm"]}
    shared = [result.run_id for result in results["wild"] if result.run_id in calm]
    pairs = [[losses_of(lab.folder / name / run_id) for name in rates] for run_id in shared]
    # at the end of the epoch the stack is repacked: kernels for fewer runs add up in another order
    together = lab.size(100, 12)
    difference = max((largest_difference(a[:together], b[:together]) for a, b in pairs), default=math.inf)
    later = max((largest_difference(a, b) for a, b in pairs), default=math.inf)
    finite = all(map(math.isfinite, [loss for a, b in pairs for loss in (*a, *b)]))
    lab.check(
        "its neighbours' losses are the same", len(shared) == 3 and finite and difference <= 1e-6,
        f"{len(shared)} neighbours, {together} losses, largest difference {difference:.1e}, expected ≤ 1e-6",
    )  # fmt: skip
    lab.check("and close once it has left the stack", later <= 5e-3, f"{later:.1e}, expected ≤ 5e-3")
    same = "to the bit" if difference == 0 else f"to {difference:.0e}"
    lab.headline(f"three neighbours of a run that diverges: losses the same {same}")


def stack_memory(lab: Lab) -> None:
    """A stack that does not fit into the memory that it may take: it is halved, and that is said."""
    lab.need_gpu("a stack that does not fit")
    lab.need_stacks()
    size = (
        *PLAIN_CNN, "width=64", "data.val_size=1000", "data.test_size=500", "signals=false",
        "trainer.max_steps=20", "seed=range(32)", "sweep.stack=32",
    )  # fmt: skip
    done = lab.sweep(*size, environment={"PYTORCH_ALLOC_CONF": SMALL_MEMORY})
    statuses = [result.status for result in lab.results()]
    lab.tell(output=tail(done.output))
    lab.check(
        "all runs are done", statuses == ["finished"] * 32, f"exit code {done.code}, {sorted(statuses)}"
    )
    lines = [
        line for line in done.output.splitlines() if re.search(r"halv|memory|does not fit", line.lower())
    ]
    warnings = {line for result in lab.results() for line in result.warnings}
    lab.check(
        "it is said", bool(lines or warnings), "; ".join([*lines[:2], *list(warnings)[:2]]) or "nothing"
    )
    lab.headline(f"32 runs finished in halves: {(lines or [*warnings])[0].strip()[:100]}")


NAMES = ("single", "stacked")


def _both(lab: Lab, size: tuple[str, ...], stack: str) -> None:
    """The sweep in stacks and the sweep of single runs, side by side: starting takes longer than training."""
    with ThreadPoolExecutor() as pool:
        sweeps = {
            "single": pool.submit(lab.sweep, *size, "sweep.stack=off", *_many_at_once(lab), runs="single"),
            "stacked": pool.submit(lab.sweep, *size, stack, runs="stacked"),
        }
        done: dict[str, Command] = {name: future.result() for name, future in sweeps.items()}
    for name, command in done.items():
        lab.tell(**{f"output, {name}": tail(command.output)})
        text = f"exit code {command.code}: {command.output.strip()[-300:]}"
        lab.check(f"{name}: the sweep is done", command.code == 0, text)


def _many_at_once(lab: Lab) -> tuple[str, ...]:
    return lab.size(("hydra.launcher.runs_per_gpu=8",), ())


def _exact(lab: Lab) -> tuple[str, ...]:
    """Full float32: TF32 rounds after ten bits, and one kernel otherwise than another."""
    return ("trainer.tf32=false",) if lab.has_trainer_setting("tf32") else ()


def _pairs(lab: Lab) -> dict[str, tuple[list[float], list[float]]]:
    """Losses alone and in the stack, of every run that has both records."""
    ids = [{result.run_id for result in lab.results(name)} for name in NAMES]
    return {
        run_id: (losses_of(lab.folder / NAMES[0] / run_id), losses_of(lab.folder / NAMES[1] / run_id))
        for run_id in sorted(ids[0] & ids[1])
    }
