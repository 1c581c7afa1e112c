"""A run on the device: that it learns, as on the processor, in mixed precision, in channels_last."""

import math
import sys
from collections.abc import Callable
from statistics import mean

from benchmarks.gpu.lab import LENET, PLAIN_CNN, Lab, Trained, largest_difference, tail

TEST = "data.test_size=2000"
LEVEL = 0.05


def run(lab: Lab) -> None:
    """LeNet-5 on MNIST, one epoch, by the command line."""
    length = lab.size(["trainer.max_epochs=1"], ["trainer.max_steps=60", "trainer.max_epochs=null", TEST])
    done = lab.command("train", *lab.overrides(*LENET, *length))
    lab.tell(output=tail(done.output))
    lab.check("the command succeeds", done.code == 0, f"exit code {done.code}: {done.output.strip()[-300:]}")
    (result,) = lab.results()
    accuracy = result.metrics.get("test/acc") or 0.0
    wanted = lab.size(0.95, 0.8)
    lab.check(
        "it learns", accuracy >= wanted, f"test accuracy {accuracy:.2%}, expected at least {wanted:.0%}"
    )
    device = "cuda" if lab.on_gpu else "cpu"
    told = result.machine.get("device")
    lab.check(
        "the record says on what it ran", told == device, f"device {told}: {result.machine.get('name')}"
    )
    lab.figure("the command", done.seconds, "s")
    lab.headline(
        f"test accuracy {accuracy:.2%}, {result.steps} steps, "
        f"{result.samples_per_second or 0:,.0f} samples/s, {done.seconds:.1f} s from the command to its end"
    )


def cpu_and_gpu(lab: Lab) -> None:
    """The first loss to 1e-4, the curve and the accuracy over seeds within noise; without TF32."""
    from trainlab.stats.hypothesis_tests import equivalence_test

    exact = lab.without_tf32()
    seeds, steps = lab.size(6, 2), lab.size(150, 40)
    margin = 0.02
    pairs: list[tuple[Trained, Trained]] = []
    for seed in range(seeds):
        size = (*LENET, f"trainer.max_steps={steps}", f"seed={seed}", "data.val_size=1000", TEST, *exact)
        here = lab.train(*size, runs="device")
        there = lab.train(*size, "trainer=cpu", f"trainer.threads={lab.size(4, 1)}", runs="cpu")
        pairs.append((here, there))
    first = max(abs(here.losses[0] - there.losses[0]) for here, there in pairs)
    lab.check("the first loss is the same", first <= 1e-4, f"largest difference {first:.1e}, expected ≤ 1e-4")
    late = [mean(here.losses[-20:]) / mean(there.losses[-20:]) - 1 for here, there in pairs]
    lab.check(
        "the curve stays close",
        abs(mean(late)) <= 0.2,
        f"mean loss of the last 20 steps differs by {mean(late):+.1%} over {seeds} seeds, expected ≤ 20%",
    )
    differences = [_accuracy(here) - _accuracy(there) for here, there in pairs]
    p = equivalence_test(differences, margin).p_for
    lab.check(
        f"the accuracies are equal within {margin:.0%} (TOST)",
        p <= LEVEL,
        f"mean difference {mean(differences):+.3%} over {seeds} seeds, p = {p:.2g}",
    )
    lab.check("nothing of W&B is imported", "wandb" not in sys.modules, "logger=none")
    lab.tell(accuracy_differences=differences, late_loss_differences=late)
    lab.headline(
        f"first loss to {first:.0e}, accuracies of {seeds} seeds {mean(differences):+.2%}, p = {p:.2g}"
    )


def mixed_precision(lab: Lab) -> None:
    """bf16-mixed and 16-mixed: losses are finite, it learns, and it is another arithmetic than 32-true."""
    from trainlab.errors import RequestError

    steps, wanted = lab.size(300, 25), lab.size(0.9, 0.5)
    size = (*LENET, f"trainer.max_steps={steps}", "data.val_size=1000", TEST)
    full = lab.train(*size)
    told = []
    for precision in ("bf16-mixed", "16-mixed"):
        if not lab.on_gpu and precision == "16-mixed":
            try:
                lab.train(*size, f"trainer.precision={precision}")
            except RequestError as error:
                lab.check("16-mixed is refused on a processor", True, str(error))
            else:
                lab.check("16-mixed is refused on a processor", False, "it ran")
            continue
        trained = lab.train(*size, f"trainer.precision={precision}")
        finite = all(map(math.isfinite, trained.losses))
        lab.check(f"{precision}: losses are finite", finite, f"{len(trained.losses)} steps")
        accuracy = _accuracy(trained)
        lab.check(f"{precision}: it learns", accuracy >= wanted, f"test accuracy {accuracy:.2%}")
        differs = largest_difference(full.losses, trained.losses)
        lab.check(
            f"{precision}: it is in effect", differs > 0, f"losses differ from 32-true by up to {differs:.1e}"
        )
        told.append(f"{precision} {accuracy:.2%}")
    lab.headline(f"test accuracy {', '.join(told)}; 32-true {_accuracy(full):.2%}")


def channels_last(lab: Lab) -> None:
    """Weights, input and every activation of a step lie as N, H, W, C; how often cuDNN turns them around."""
    import torch
    import torch.nn.functional as F

    from trainlab.build.data import build_datamodule, load_data
    from trainlab.build.networks import build_initialized_model

    settings = lab.settings(*PLAIN_CNN, "norm_layer=batchnorm")
    images = load_data(settings)
    model = build_initialized_model(settings, images).to(lab.torch_device)
    x_NCHW, y_N = next(iter(build_datamodule(settings, images).train_dataloader()))
    x_NCHW, y_N = x_NCHW.to(lab.torch_device), y_N.to(lab.torch_device)
    maps: dict[str, bool] = {"input": x_NCHW.is_contiguous(memory_format=torch.channels_last)}

    def note(name: str) -> Callable[..., None]:
        def hook(layer: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            if output.dim() == 4 and output.shape[2] > 1:
                maps[name] = output.is_contiguous(memory_format=torch.channels_last)

        return hook

    for name, layer in model.named_modules():
        if not list(layer.children()):
            layer.register_forward_hook(note(name))
        if isinstance(layer, torch.nn.Conv2d):
            maps[f"{name}.weight"] = layer.weight.is_contiguous(memory_format=torch.channels_last)
    for _ in range(2):
        F.cross_entropy(model(x_NCHW), y_N).backward()
    activity = torch.profiler.ProfilerActivity.CUDA if lab.on_gpu else torch.profiler.ProfilerActivity.CPU
    with torch.profiler.profile(activities=[activity]) as profile:
        F.cross_entropy(model(x_NCHW), y_N).backward()
        lab.synchronize()
    kernels = {event.key: event.count for event in profile.key_averages()}
    turned = sum(
        n for name, n in kernels.items() if "nchwtonhwc" in name.lower() or "nhwctonchw" in name.lower()
    )
    wrong = [name for name, holds in maps.items() if not holds]
    lab.check("all lie as N, H, W, C", not wrong, f"{len(maps)} tensors; not: {', '.join(wrong) or 'none'}")
    lab.tell(kernels=kernels, turned_around=turned)
    lab.headline(f"{len(maps)} tensors of a step; {turned} conversions between layouts in it")


def _accuracy(trained: Trained) -> float:
    return trained.result.metrics.get("test/acc") or 0.0
