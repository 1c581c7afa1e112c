"""Several runs on one card, one run on several cards, a run that wants more memory than there is."""

import importlib.util

from benchmarks.gpu.lab import LENET, Command, Lab, largest_difference, losses_of, tail
from benchmarks.gpu.outcome import Skipped

SMALL = ("data.val_size=1000", "data.test_size=1000", "signals=false")
HUGE_WIDTH = 2**18
"""Maps of one convolution on 512 images of 32 × 32 pixels in float32: 550 GB, more than any device has."""
OUT_OF_MEMORY = ("outofmemory", "out of memory", "can't allocate memory", "not enough memory")


def runs_per_gpu(lab: Lab) -> None:
    """Four runs at a time on one GPU, by the command line: at the same time, each with its own numbers."""
    at_once = lab.size(4, 2)
    size = (*LENET, *SMALL, f"trainer.max_steps={lab.size(400, 30)}", *lab.graph("off"))
    slots = lab.size(f"hydra.launcher.runs_per_gpu={at_once}", f"hydra.launcher.slots={at_once}")
    swept = (*size, *lab.without_stacks(), f"seed=range({at_once})", slots)
    with lab.start("train", "-m", *lab.overrides(*swept, runs="together")) as process:
        alone = lab.train(*size, "seed=1", "trainer.threads=1", runs="alone")
        output, _ = process.communicate()
    _check_sweep(lab, Command(process.returncode, output, 0.0), finished=at_once, runs="together")
    spans = _spans(lab, "together")
    overlap = min(end for _, end in spans) - max(begin for begin, _ in spans)
    lab.check("they ran at the same time", overlap > 0, f"all {at_once} alive together for {overlap:.1f} s")
    folder = lab.folder / "together" / alone.result.run_id
    difference = largest_difference(alone.losses, losses_of(folder))
    lab.check(
        "the losses are those of the run alone", difference == 0, f"largest difference {difference:.1e}"
    )
    lab.headline(f"{at_once} runs at a time, {overlap:.1f} s all together; losses of one alone to the bit")


def out_of_memory(lab: Lab) -> None:
    """A sweep in which one run asks for far more memory than there is."""
    size = (
        "model=plain_cnn",
        "depth=1",
        "data=digits",
        "data.image_size=32",
        "data.batch_size=512",
        "signals=false",
    )
    done = lab.sweep(*size, "trainer.max_steps=2", f"width=4,{HUGE_WIDTH},8", *lab.without_stacks())
    results = {str(result.status): result for result in lab.results()}
    statuses = sorted(result.status for result in lab.results())
    lab.tell(output=tail(done.output))
    lab.check("the others are done", statuses == ["failed", "finished", "finished"], ", ".join(statuses))
    lab.check("the sweep says that one failed", done.code == 1, f"exit code {done.code}")
    error = results["failed"].error if "failed" in results else None
    said = f"{(error or {}).get('type')}: {(error or {}).get('message')}"
    lab.check("the record says why", any(word in said.lower() for word in OUT_OF_MEMORY), said[:200])
    told = any(word in done.output.lower() for word in OUT_OF_MEMORY)
    lab.check("the summary says why", told, _line_with(done.output, OUT_OF_MEMORY))
    lab.headline(f"two of three finished; the third: {said[:90]}")


def ddp_one(lab: Lab) -> None:
    """`trainer=ddp` on one device: the process group's backend, and the losses of the run without it."""
    import torch.distributed as dist

    steps = lab.size(100, 15)
    size = (*LENET, *SMALL, f"trainer.max_steps={steps}", *lab.graph("off"))
    plain = lab.train(*size, runs="plain")
    accelerator = f"trainer.accelerator={lab.device}"
    ddp = lab.train(
        "trainer=ddp", "trainer.devices=1", accelerator, "trainer.progress_bar=false", *size, runs="ddp"
    )
    wanted = lab.size("nccl", "gloo")
    backend = dist.get_backend() if dist.is_initialized() else "no process group"
    lab.check(f"it ran on {wanted}", backend == wanted, backend)
    lab.check("it finished", ddp.result.status == "finished", ddp.result.status)
    first = largest_difference(plain.losses[:1], ddp.losses[:1])
    lab.check("the first loss is that without it", first <= 1e-5, f"{first:.1e} apart, expected ≤ 1e-5")
    few = largest_difference(plain.losses[:20], ddp.losses[:20])
    lab.check("so are the first twenty", few <= 1e-3, f"largest difference {few:.1e}, expected ≤ 1e-3")
    difference = largest_difference(plain.losses, ddp.losses)
    lab.headline(
        f"{backend}, losses of {steps} steps {'to the bit' if not difference else f'to {difference:.0e}'}"
    )


def ddp_all(lab: Lab) -> None:
    """A run over all devices, by the command line: the global batch is the same, so is its first loss."""
    devices = _devices(lab)
    if devices < 2:
        raise Skipped("there is one GPU here; two or more are needed")
    size = (*LENET, *SMALL, f"trainer.max_steps={lab.size(50, 3)}", *lab.graph("off"))
    accelerator = f"trainer.accelerator={lab.device}"
    one = lab.command("train", *lab.overrides(*size, runs="one"))
    words = ("trainer=ddp", f"trainer.devices={devices}", accelerator, "trainer.progress_bar=false")
    several = lab.command("train", *lab.overrides(*words, *size, runs="several"))
    lab.tell(output=tail(several.output))
    codes = (one.code, several.code)
    lab.check("both are done", codes == (0, 0), f"exit codes {codes}: {several.output.strip()[-300:]}")
    losses = [
        losses_of(next((lab.folder / runs).glob("*/result.json")).parent) for runs in ("one", "several")
    ]
    first = abs(losses[0][0] - losses[1][0])
    lab.check("the first loss is the same", first <= 1e-4, f"{first:.1e} apart, expected ≤ 1e-4")
    lab.headline(f"{devices} devices: the first loss is {first:.0e} from that of one")


def ray(lab: Lab) -> None:
    """Runs that reserve a quarter of a GPU each, under Ray."""
    if importlib.util.find_spec("ray") is None:
        raise Skipped("Ray is not installed (the extra `ray`)")
    runs, share = lab.size(4, 2), lab.size("hydra.launcher.num_gpus=0.25", "hydra.launcher.num_gpus=0")
    size = (*LENET, *SMALL, f"trainer.max_steps={lab.size(200, 10)}")
    done = lab.sweep(*size, *lab.without_stacks(), f"seed=range({runs})", "hydra/launcher=ray", share)
    _check_sweep(lab, done, finished=runs)
    lab.headline(f"{runs} runs finished, {share.rpartition('=')[2]} of a GPU each")


def _devices(lab: Lab) -> int:
    """GPUs of this machine; the dry run has two processes."""
    from trainlab.sweeps.slots import visible_gpus

    return len(visible_gpus()) if lab.on_gpu else 2


def _check_sweep(lab: Lab, done: Command, finished: int, runs: str = "runs") -> None:
    lab.tell(output=tail(done.output))
    statuses = [result.status for result in lab.results(runs)]
    lab.check(
        f"{finished} runs finished", done.code == 0 and statuses == ["finished"] * finished,
        f"exit code {done.code}, {', '.join(statuses) or 'no run'}: {done.output.strip()[-300:]}",
    )  # fmt: skip


def _spans(lab: Lab, runs: str) -> list[tuple[float, float]]:
    """When each run's process began, and when its record was written."""
    results = list((lab.folder / runs).glob("*/result.json"))
    return [(path.with_name(".pid").stat().st_mtime, path.stat().st_mtime) for path in results]


def _line_with(text: str, words: tuple[str, ...]) -> str:
    lines = [line.strip() for line in text.splitlines() if any(word in line.lower() for word in words)]
    return lines[0][:200] if lines else "it says nothing of memory"
