"""Which card, which versions, and what the card does by itself: matrix products, copies, launches."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable

from benchmarks.gpu.lab import NETWORKS, Lab
from benchmarks.gpu.outcome import Skipped
from trainlab.process_limits import available_cores

PACKAGES = ("torch", "torchvision", "lightning", "torchmetrics", "numpy", "hydra-core", "pydantic", "polars")
TERA, GIGA = 1e12, 1e9


def card(lab: Lab) -> None:
    """Names, versions and rates; what decoding the images takes, if nobody has."""
    import torch

    if lab.on_gpu and not torch.cuda.is_available():
        raise RuntimeError(
            "torch sees no GPU: no driver, one that is too old for this torch, or a build without"
        )
    _versions(lab)
    began = time.perf_counter()
    torch.ones(1, device=lab.torch_device).item()
    lab.tell(first_use_seconds=time.perf_counter() - began)
    _decode(lab)
    lab.wait_until_alone()
    _rates(lab)
    found = {figure.name: figure for figure in lab.outcome.figures}
    shown = [f"{name} {found[name].text()}" for name in ("fp32", "TF32", "bf16", "copy") if name in found]
    lab.headline(f"{lab.outcome.details['name']}: {', '.join(shown)}")


def _versions(lab: Lab) -> None:
    import torch

    versions = {name: version for name in PACKAGES if (version := _version(name))}
    lab.tell(
        python=platform.python_version(), cores=available_cores(), versions=versions, torch=torch.__version__
    )
    if not lab.on_gpu:
        lab.tell(name=platform.processor() or platform.machine())
        return
    properties = torch.cuda.get_device_properties(0)
    lab.tell(
        name=properties.name,
        memory_bytes=properties.total_memory,
        capability=list(torch.cuda.get_device_capability(0)),
        multiprocessors=properties.multi_processor_count,
        devices=torch.cuda.device_count(),
        driver=_driver(),
        cuda=torch.version.cuda,
        cudnn=torch.backends.cudnn.version(),
        nccl=".".join(map(str, torch.cuda.nccl.version())) if torch.distributed.is_nccl_available() else None,
        allocator=os.environ.get("PYTORCH_ALLOC_CONF"),
    )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _driver() -> str | None:
    command = shutil.which("nvidia-smi")
    if command is None:
        return None
    query = [command, "--query-gpu=driver_version", "--format=csv,noheader"]
    answer = subprocess.run(query, capture_output=True, text=True, check=False)
    return answer.stdout.splitlines()[0].strip() if answer.returncode == 0 and answer.stdout else None


def _rates(lab: Lab) -> None:
    """Products of two square matrices of random numbers, a copy, the launch of a small kernel."""
    import torch

    size = lab.size(8192, 512)
    a, b = torch.randn(2, size, size, device=lab.torch_device)
    out = torch.empty_like(a)
    operations = 2 * size**3

    def product() -> None:
        torch.mm(a, b, out=out)

    torch.set_float32_matmul_precision("highest")
    lab.figure("fp32", operations * per_second(lab, product) / TERA, "TFLOP/s")
    if lab.on_gpu:
        torch.set_float32_matmul_precision("high")
        lab.figure("TF32", operations * per_second(lab, product) / TERA, "TFLOP/s")
        torch.set_float32_matmul_precision("highest")
    half_a, half_b = a.bfloat16(), b.bfloat16()
    lab.figure("bf16", operations * per_second(lab, lambda: half_a @ half_b) / TERA, "TFLOP/s")
    source = torch.empty(lab.size(2**30, 2**24), dtype=torch.float32, device=lab.torch_device)
    target = torch.empty_like(source)
    moved = 2 * source.numel() * source.element_size()
    lab.figure("copy", moved * per_second(lab, lambda: target.copy_(source)) / GIGA, "GB/s read and written")
    one = torch.zeros(1, device=lab.torch_device)
    lab.figure("launch", 1e6 / per_second(lab, lambda: one.add_(1)), "µs a small kernel")


def per_second(lab: Lab, call: Callable[[], object], at_least_seconds: float = 0.3) -> float:
    """How often the device does it in a second, once it is warm."""
    for _ in range(3):
        call()
    lab.synchronize()
    times, total, began = 1, 0, time.perf_counter()
    while (seconds := time.perf_counter() - began) < at_least_seconds:
        for _ in range(times):
            call()
        lab.synchronize()
        total, times = total + times, min(2 * times, 4096)
    return total / seconds


def _decode(lab: Lab) -> None:
    """Decoding happens once in the life of a data set."""
    from trainlab.build.data import load_data

    for network in NETWORKS.values():
        began = time.perf_counter()
        try:
            images = load_data(lab.settings(*network))
        except Skipped as reason:
            lab.tell(**{f"data of {network[0]}": str(reason)})
            continue
        told = f"{len(images.train)} + {len(images.val)} + {len(images.test)} images, {images.copy}"
        lab.tell(**{f"data of {network[0]}": f"{told}, decoded in {time.perf_counter() - began:.1f} s"})
