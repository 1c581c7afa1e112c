"""How much of the card a step uses: of its measured matrix-product rate, and of its memory."""

from collections.abc import Callable

from benchmarks.gpu.card import per_second
from benchmarks.gpu.lab import NETWORKS, Lab
from benchmarks.gpu.step_time import BATCH_SIZE, FEW_STEPS, QUIET, StepTimer, single_runs

STACK = 32
MIB = 2**20


def step_share(lab: Lab) -> None:
    """Operations of a step, as torch counts them, times steps per second, over those of a large product."""
    import torch

    lab.configure()
    for network in NETWORKS.values():
        single_runs(lab, network)(2)
    lab.wait_until_alone()
    product = _product_rate(lab)
    lab.figure("matrix product, in the precision of training", product / 1e12, "TFLOP/s")
    shares = [_measure(lab, name, runs, product) for name in NETWORKS for runs in (1, lab.size(STACK, 2))]
    if lab.on_gpu:
        free, total = torch.cuda.mem_get_info()
        held = (total - free - torch.cuda.memory_reserved()) / MIB
        lab.figure("what a process holds beside its tensors", held, "MiB")
    lab.headline(f"share of the matrix-product rate: {', '.join(filter(None, shares))}")


def _product_rate(lab: Lab) -> float:
    import torch

    size = lab.size(8192, 512)
    a, b = torch.randn(2, size, size, device=lab.torch_device)
    return 2 * size**3 * per_second(lab, lambda: a @ b)


def _measure(lab: Lab, name: str, runs: int, product: float) -> str | None:
    """The share of one run, or of a stack of so many; None where there are no stacks."""
    import torch

    way = "single" if runs == 1 else f"stack of {runs}"
    network = NETWORKS[name]
    operations = _operations(lab, network) * runs
    try:
        seconds_per_step = _single(lab, network) if runs == 1 else _stacked(lab, network, runs)
    except ImportError as error:
        lab.tell(**{f"{name}, {way}": str(error)})
        return None
    if lab.on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    share = 100 * operations / seconds_per_step(lab.size(1.0, 0.1)) / product
    lab.figure(f"{name}, {way}: share of the matrix-product rate", share, "%")
    if lab.on_gpu:
        held = torch.cuda.max_memory_allocated() / MIB / runs
        lab.figure(f"{name}, {way}: memory of a run", held, "MiB, images included")
    return f"{name} {way} {share:.2g}%"


def _single(lab: Lab, network: tuple[str, ...]) -> Callable[[float], float]:
    run = single_runs(lab, network, *lab.graph("auto"))
    return StepTimer(lab, run, lab.size(FEW_STEPS, 4)).seconds_per_step


def _stacked(lab: Lab, network: tuple[str, ...], runs: int) -> Callable[[float], float]:
    from benchmarks.gpu.stack_steps import StackSteps

    steps = StackSteps(lab, network, runs)
    steps.use_graph(lab.on_gpu)
    return steps.seconds_per_step


def _operations(lab: Lab, network: tuple[str, ...]) -> float:
    """Of forward and backward of one step, as torch counts them (a multiply-add is two)."""
    import torch
    import torch.nn.functional as F
    from torch.utils.flop_counter import FlopCounterMode

    from trainlab.build.data import load_data
    from trainlab.build.networks import build_initialized_model

    settings = lab.settings(*network, *QUIET)
    images = load_data(settings)
    model = build_initialized_model(settings, images).to(lab.torch_device)
    shape = (BATCH_SIZE, *images.in_shape_CHW)
    x_NCHW = torch.randint(0, 256, shape, dtype=torch.uint8, device=lab.torch_device)
    y_N = torch.randint(0, images.num_classes, (BATCH_SIZE,), device=lab.torch_device)
    with FlopCounterMode(display=False) as counter:
        F.cross_entropy(model(x_NCHW), y_N).backward()
    return float(counter.get_total_flops())
