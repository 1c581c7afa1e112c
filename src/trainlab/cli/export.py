"""`trainlab export`: a saved run as safetensors and ONNX."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from trainlab.cli.arguments import Checkpoint, RunName, RunsFolder
from trainlab.cli.command_app import command_app
from trainlab.cli.run_filter import find_run_with_checkpoint
from trainlab.errors import RequestError
from trainlab.terminal import PlainConsole

cli = command_app()


@cli.command()
def export(
    run: RunName,
    folder: RunsFolder = Path("runs"),
    checkpoint: Checkpoint = "last",
    to: Annotated[Path | None, typer.Option(help="Where to; the run's own folder when left out.")] = None,
) -> None:
    """Write a saved run as safetensors and ONNX."""
    path = find_run_with_checkpoint(folder, run, checkpoint)
    target = to or path / "export"
    _check_writable(target)
    from trainlab.serving.export import export_onnx, export_safetensors
    from trainlab.serving.saved_model import load_run_model

    model, description = load_run_model(path, checkpoint)
    console = PlainConsole()
    for name, write in (("model.safetensors", export_safetensors), ("model.onnx", export_onnx)):
        try:
            write(model, description, target / name)
        except OSError as error:
            raise _unwritable(target / name, error) from None
        console.print(str(target / name), highlight=False, markup=False, soft_wrap=True)


def _check_writable(folder: Path) -> None:
    """Makes the folder, and says in one line where nothing can be written into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _unwritable(folder, error) from None


def _unwritable(path: Path, error: OSError) -> RequestError:
    return RequestError(f"cannot write {path}: {error.strerror or error}; choose a folder with --to")
