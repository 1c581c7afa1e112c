"""`trainlab predict`: class probabilities of images, by a saved run."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from trainlab.cli.arguments import AsJson, Checkpoint, RunName, RunsFolder
from trainlab.cli.command_app import command_app
from trainlab.cli.run_filter import find_run_with_checkpoint
from trainlab.errors import RequestError
from trainlab.terminal import PlainConsole

cli = command_app()


@cli.command()
def predict(
    run: RunName,
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
    folder: RunsFolder = Path("runs"),
    checkpoint: Checkpoint = "last",
    as_json: AsJson = False,
) -> None:
    """Class probabilities of images, by a saved run."""
    path = find_run_with_checkpoint(folder, run, checkpoint)
    for image in images:
        if not image.is_file():
            raise RequestError(f"{image}: no such file" if not image.exists() else f"{image}: not a file")
    from trainlab.serving.predict import class_probabilities, read_image
    from trainlab.serving.saved_model import load_run_model

    model, description = load_run_model(path, checkpoint)
    answers: dict[str, dict[str, float]] = {}
    preprocessing: dict[str, Sequence[str]] = {}
    refused: list[RequestError] = []
    for image in dict.fromkeys(map(str, images)):
        try:
            x_1CHW, preprocessing[image] = read_image(Path(image), description, image)
        except RequestError as error:
            refused.append(error)
            continue
        shares = class_probabilities(model, x_1CHW)[0].tolist()
        by_class = dict(zip(map(str, description["classes"]), shares, strict=True))
        answers[image] = dict(sorted(by_class.items(), key=lambda item: -item[1]))
    for error in refused[: len(refused) if answers else -1]:
        print(f"trainlab: {error}", file=sys.stderr)
    if not answers:
        raise refused[-1]
    _print(answers, preprocessing, as_json)
    if refused:
        raise typer.Exit(1)


def _print(
    answers: Mapping[str, Mapping[str, float]], preprocessing: Mapping[str, Sequence[str]], as_json: bool
) -> None:
    """The five likeliest classes of each image, below what was done to it; as JSON all of them."""
    if as_json:
        print(json.dumps(answers, indent=2))
        return
    console = PlainConsole()
    for image, classes in answers.items():
        console.print(image, style="bold", soft_wrap=True)
        console.print("; ".join(preprocessing[image]), style="dim")
        for name, share in list(classes.items())[:5]:
            console.print(f"  {name:<14} {share:7.2%} {'█' * round(30 * share)}", highlight=False)
