"""What must not change a run's numbers: doing it twice, measuring inside it, a CUDA graph; what TF32 does."""

import torch

from benchmarks.gpu.lab import LENET, PLAIN_CNN, Lab, Trained, largest_difference

SMALL = ("data.val_size=1000", "data.test_size=1000")
WITH_BATCHNORM = (*PLAIN_CNN, "norm_layer=batchnorm", "augment=flip_crop")
GRAPH_TOLERANCE = 1e-4
"""Of losses, relative to max(1, loss): the same kernels in the same order give the same bits, but a captured
step may choose another workspace, and with it another kernel."""
TF32_TOLERANCE = 1e-2
"""Of the first loss: TF32 keeps ten bits of each factor."""


def repeat(lab: Lab) -> None:
    """The same run twice: all losses and the test metrics equal to the bit."""
    told = []
    for name, network in (("LeNet-5", LENET), ("plain_cnn with BatchNorm and augmentation", WITH_BATCHNORM)):
        size = (*network, *SMALL, f"trainer.max_steps={lab.size(200, 12)}")
        once, again = (lab.train(*size, runs=runs) for runs in ("once", "again"))
        _check_equal(lab, name, once, again)
        told.append(f"{len(once.losses)} steps of {name}")
    lab.headline(f"losses and test metrics equal to the bit: {', '.join(told)}")


def signals(lab: Lab) -> None:
    """Measuring inside the network at every tenth step changes no loss."""
    told = []
    for name, network in (("LeNet-5", LENET), ("plain_cnn with BatchNorm and augmentation", WITH_BATCHNORM)):
        steps = lab.size(120, 12)
        size = (*network, *SMALL, f"trainer.max_steps={steps}")
        on = lab.train(*size, f"signals={steps // 4}", runs="on")
        off = lab.train(*size, "signals=false", runs="off")
        _check_equal(lab, name, on, off)
        told.append(f"{steps} steps of {name}")
    lab.headline(f"losses with signals on and off equal to the bit: {', '.join(told)}")


def cuda_graph(lab: Lab) -> None:
    """The losses of `trainer.cuda_graph=on` and `off`."""
    lab.need_trainer_setting("cuda_graph")
    if not lab.on_gpu:
        _graph_is_refused(lab)
        return
    told = []
    for name, network in (
        ("LeNet-5", LENET),
        ("plain_cnn with BatchNorm and augmentation", WITH_BATCHNORM),
        ("LeNet-5, SGD, one-cycle", (*LENET, "optimizer=sgd_nesterov", "scheduler=onecycle")),
    ):
        size = (*network, *SMALL, "trainer.max_steps=200")
        on, off = (lab.train(*size, f"trainer.cuda_graph={value}", runs=value) for value in ("on", "off"))
        difference = largest_difference(off.losses, on.losses)
        early = largest_difference(off.losses[:20], on.losses[:20])
        lab.check(
            f"{name}: the losses of 20 steps are the same",
            early <= GRAPH_TOLERANCE,
            f"largest difference {early:.1e}, expected ≤ {GRAPH_TOLERANCE:g}; of 200 steps {difference:.1e}",
        )
        graph = str(on.result.machine.get("cuda_graph"))
        lab.check(f"{name}: the record says so", graph != str(off.result.machine.get("cuda_graph")), graph)
        told.append(f"{name} {'to the bit' if difference == 0 else f'to {difference:.0e}'}")
    lab.headline(f"losses of 200 steps with and without a graph: {'; '.join(told)}")


def _graph_is_refused(lab: Lab) -> None:
    """A processor has no graphs: `on` is one line."""
    from trainlab.errors import RequestError

    try:
        lab.train(*LENET, *SMALL, "trainer.max_steps=1", "trainer.cuda_graph=on")
    except RequestError as error:
        lab.check("it is refused on a processor", True, str(error))
    else:
        lab.check("it is refused on a processor", False, "it ran")
    lab.headline("refused on a processor, in one line")


def tf32(lab: Lab) -> None:
    """The same run with TF32 and without: how far the losses differ, which is faster, what is recorded."""
    lab.need_gpu("TF32")
    lab.need_trainer_setting("tf32")
    size = (*PLAIN_CNN, "width=64", *SMALL, "trainer.max_steps=200")
    on, off = (lab.train(*size, f"trainer.tf32={value}", runs=value) for value in ("true", "false"))
    first = abs(on.losses[0] - off.losses[0])
    lab.check(
        "the first loss is close",
        first <= TF32_TOLERANCE,
        f"{first:.1e} apart, expected ≤ {TF32_TOLERANCE:g}",
    )
    lab.check(
        "it is in effect", on.losses != off.losses, f"the losses differ by up to {_largest(on, off):.1e}"
    )
    stated = [str(trained.result.machine) for trained in (on, off)]
    lab.check("the record says which", stated[0] != stated[1], f"{stated[0]} and {stated[1]}")
    rates = [trained.result.samples_per_second or 0.0 for trained in (on, off)]
    lab.tell(samples_per_second={"with TF32": rates[0], "without": rates[1]})
    lab.headline(
        f"first loss {first:.0e} apart; {rates[0]:,.0f} samples/s with TF32, {rates[1]:,.0f} without"
    )


def _largest(a: Trained, b: Trained) -> float:
    return largest_difference(a.losses, b.losses)


def _check_equal(lab: Lab, name: str, a: Trained, b: Trained) -> None:
    """Losses and test metrics, to the bit."""
    different = [i for i, (x, y) in enumerate(zip(a.losses, b.losses, strict=False)) if x != y]
    holds = bool(a.losses) and len(a.losses) == len(b.losses) and not different
    shown = f"{len(a.losses)} and {len(b.losses)} losses"
    if different:
        shown += f", the first that differs at step {different[0]}, by up to {_largest(a, b):.1e}"
    lab.check(f"{name}: losses", holds, shown)
    tests = [[trained.result.metrics.get(f"test/{kind}") for kind in ("acc", "loss")] for trained in (a, b)]
    lab.check(f"{name}: test metrics", tests[0] == tests[1], f"{tests[0]} and {tests[1]}")
    lab.tell(**{f"deterministic algorithms: {name}": torch.are_deterministic_algorithms_enabled()})
