"""Saved runs used again (evaluate, predict, export), and the learning-rate range test."""

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from trainlab.errors import RequestError
from trainlab.runs.resolve_runs import resolve_runs
from trainlab.runs.run_folder import checkpoint_path
from trainlab.terminal import PlainConsole, markup_text

console = PlainConsole()


def one_run(folder: Path, named: str) -> Path:
    """The one run folder that `named` means.

    Raises:
        RequestError: none, or several.
    """
    found = resolve_runs(folder, named)
    if len(found) != 1:
        raise RequestError(
            f"'{named}' names {len(found)} runs, expected one: {', '.join(f.name for f in found[:8])}"
        )
    return found[0]


def saved_run(folder: Path, named: str, checkpoint: str) -> Path:
    """The folder of a run that has this checkpoint: looked up before torch is imported, which takes seconds.

    Raises:
        RequestError: no such run, or no such checkpoint.
    """
    path = one_run(folder, named)
    checkpoint_path(path, checkpoint)
    return path


def evaluate(
    folder: Path, run: str, checkpoint: str, data: Path | None, cache: Path | None, as_json: bool
) -> None:
    """Prints loss and accuracy of a saved run on its validation and test images."""
    path = saved_run(folder, run, checkpoint)
    if data is not None and not data.is_dir():
        raise RequestError(f"--data {data}: no such folder")
    from trainlab.serving import evaluate as inference
    from trainlab.serving.saved_model import load_run_model

    model, description = load_run_model(path, checkpoint)
    warnings: list[str] = []
    metrics = inference.evaluate(model, description["settings"], data, cache=cache, warn=warnings.append)
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if as_json:
        print(json.dumps(metrics | ({"warnings": warnings} if warnings else {}), indent=2))
        return
    for split in ("val", "test"):
        console.print(
            f"{split:<5} loss {metrics[f'{split}/loss']:.4f}  accuracy {metrics[f'{split}/acc']:.2%}",
            highlight=False,
        )


def predict(folder: Path, run: str, images: list[Path], checkpoint: str, as_json: bool) -> int:
    """Prints the class probabilities of image files, the likeliest first.

    Those that cannot be read are named, and the others answered: the exit code is then 1.

    Raises:
        RequestError: a file that is not there, or none that can be read.
    """
    path = saved_run(folder, run, checkpoint)
    for image in images:
        if not image.is_file():
            raise RequestError(f"{image}: no such file" if not image.exists() else f"{image}: not a file")
    from trainlab.serving.predict import class_probabilities, read_image
    from trainlab.serving.saved_model import load_run_model

    model, description = load_run_model(path, checkpoint)
    answers, done = {}, {}
    refused: list[RequestError] = []
    for image in dict.fromkeys(map(str, images)):
        try:
            x_1CHW, done[image] = read_image(Path(image), description, image)
        except RequestError as error:
            refused.append(error)
            continue
        shares = class_probabilities(model, x_1CHW)[0].tolist()
        named = dict(zip(map(str, description["classes"]), shares, strict=True))
        answers[image] = dict(sorted(named.items(), key=lambda item: -item[1]))
    for error in refused[: len(refused) if answers else -1]:
        print(f"trainlab: {error}", file=sys.stderr)
    if not answers:
        raise refused[-1]
    _show(answers, done, as_json)
    return int(bool(refused))


def _show(
    answers: Mapping[str, Mapping[str, float]], done: Mapping[str, Sequence[str]], as_json: bool
) -> None:
    if as_json:
        print(json.dumps(answers, indent=2))
        return
    for image, classes in answers.items():
        console.print(image, style="bold", soft_wrap=True)
        console.print("; ".join(done[image]), style="dim")
        for name, share in list(classes.items())[:5]:
            console.print(f"  {name:<14} {share:7.2%} {'█' * round(30 * share)}", highlight=False)


def export(folder: Path, run: str, checkpoint: str, to: Path | None) -> None:
    """Writes `model.safetensors` and `model.onnx`."""
    path = saved_run(folder, run, checkpoint)
    target = to or path / "export"
    _check_writable(target)
    from trainlab.serving.export import export_onnx, export_safetensors
    from trainlab.serving.saved_model import load_run_model

    model, description = load_run_model(path, checkpoint)
    for name, write in (
        ("model.safetensors", export_safetensors), ("model.onnx", export_onnx)
    ):  # fmt: skip
        try:
            write(model, description, target / name)
        except OSError as error:
            raise _not_written(target / name, error) from None
        console.print(str(target / name), highlight=False, markup=False, soft_wrap=True)


def _check_writable(folder: Path) -> None:
    """Makes the folder, and says in one line where nothing can be written into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _not_written(folder, error) from None


def _not_written(path: Path, error: OSError) -> RequestError:
    return RequestError(f"cannot write {path}: {error.strerror or error}; choose a folder with --to")


def lr_range(overrides: list[str], steps: int, smallest: float, largest: float, as_json: bool) -> None:
    """Prints loss against learning rate, and the rate at which the loss falls fastest."""
    if not 0 < smallest < largest:
        raise RequestError(f"--smallest={smallest} --largest={largest}: expected 0 < smallest < largest")
    from trainlab.config import compose

    settings = compose(overrides)
    from trainlab.training.environment import configure_process
    from trainlab.training.lr_range import lr_range as test

    configure_process()
    result = test(settings, steps, smallest, largest)
    if as_json:
        print(json.dumps(asdict(result), indent=2))
        return
    table = Table(box=None)
    for column in ("learning rate", "loss", ""):
        table.add_column(column, justify="right" if column else "left")
    top = max(result.losses, default=1.0)
    for rate, loss in list(zip(result.rates, result.losses, strict=True))[:: max(1, steps // 25)]:
        table.add_row(f"{rate:.2e}", f"{loss:.4f}", "█" * round(40 * loss / top))
    console.print(table)
    if result.suggestion is None:
        console.print(
            "the loss does not fall at any of these rates: look at trainlab anatomy and the initializer"
        )
    else:
        console.print(
            markup_text("it falls fastest at [bold]optimizer.lr={}[/bold]", f"{result.suggestion:.1e}")
        )
