"""`trainlab workspace`: a sweep as a saved view on W&B, the claims as a report; as files when offline."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from trainlab.cli.arguments import RunsFolder
from trainlab.cli.command_app import command_app
from trainlab.errors import RequestError
from trainlab.runs import CorruptRunError
from trainlab.runs.safe_files import write_atomically
from trainlab.training import wandb_connection
from trainlab.units import pluralize


@dataclass(frozen=True)
class WandbArtifact:
    """What goes to W&B (`save` returns its address there), or as `text` into a file."""

    name: str
    file: Path
    text: Callable[[], str]
    save: Callable[[], str]


cli = command_app()


@cli.command()
def workspace(
    sweep: Annotated[str | None, typer.Argument(help="The name of a sweep.")] = None,
    report: Annotated[bool, typer.Option("--report", help="Also the claims, as a report.")] = False,
    entity: Annotated[str | None, typer.Option(help="Whose on W&B; the key's own when left out.")] = None,
    project: Annotated[
        str | None, typer.Option(help="The project on W&B; the runs' own when left out.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write a file instead, the report beside it as .report.md.")
    ] = None,
    folder: RunsFolder = Path("runs"),
    experiments: Annotated[
        Path | None, typer.Option(help="The folder of claims; ./experiments when left out.")
    ] = None,
) -> None:
    """Build W&B's views of a sweep, and a report of the claims."""
    if sweep is None and not report:
        raise RequestError("workspace: expected the name of a sweep, or --report")
    try:
        import wandb_workspaces  # noqa: F401
    except ModuleNotFoundError:
        raise RequestError("workspace: not installed; pip install 'trainlab[workspace]'") from None
    artifacts = []
    if sweep is not None:
        artifacts.append(_sweep_artifact(folder, sweep, entity, project, out))
    if report:
        beside = out.with_suffix(".report.md") if out and sweep is not None else out
        artifacts.append(_report_artifact(experiments, entity, project, beside))
    offline_reason = "as asked" if out else _offline_reason()
    raise typer.Exit(max([_save_or_write(artifact, offline_reason) for artifact in artifacts]))


def _offline_reason() -> str | None:
    """Why nothing can be saved on W&B; None where it can."""
    if not wandb_connection.has_api_key():
        return wandb_connection.NO_KEY_MESSAGE
    return wandb_connection.unreachable_reason()


def _save_or_write(artifact: WandbArtifact, offline_reason: str | None) -> int:
    """Saves it on W&B, or where that cannot be writes it as a file and prints why; 1 where W&B refused it."""
    code = 0
    if offline_reason is None:
        try:
            print(f"{artifact.name}: {artifact.save()}")
            return 0
        except Exception as error:  # the errors of W&B's client have nothing in common
            offline_reason, code = f"W&B refused it: {' '.join(str(error).split())}", 1
    try:
        artifact.file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(artifact.file, artifact.text())
    except OSError as error:
        raise RequestError(f"cannot write {artifact.file}: {error.strerror}; choose with --out") from None
    print(f"{artifact.name}: written to {artifact.file} ({offline_reason})")
    return code


def _sweep_artifact(
    folder: Path, name: str, entity: str | None, project: str | None, out: Path | None
) -> WandbArtifact:
    from trainlab.wandb_sync import sweep_view

    try:
        sweep = sweep_view.summarize_sweep(folder, name)
    except CorruptRunError as broken:
        raise RequestError(str(broken)) from broken
    target = project or sweep.project

    def save() -> str:
        return sweep_view.build_workspace(sweep, entity or sweep.entity or _own_entity(), target).save().url

    def text() -> str:
        return sweep_view.workspace_json(sweep_view.build_workspace(sweep, entity or sweep.entity, target))

    return WandbArtifact(f"the view of the sweep {name}", out or Path(f"{name}.workspace.json"), text, save)


def _report_artifact(
    experiments: Path | None, entity: str | None, project: str | None, out: Path | None
) -> WandbArtifact:
    from trainlab.claims import registry
    from trainlab.wandb_sync import claims_report
    from trainlab.wandb_sync.sweep_view import PROJECT

    sections = claims_report.report_sections(
        registry.load_claims(experiments or registry.default_claims_folder())
    )
    file = out or Path("claims.report.md")

    def save() -> str:
        return claims_report.build_report(sections, entity or _own_entity(), project or PROJECT).save().url

    return WandbArtifact(
        f"the report of {pluralize(len(sections), 'claim')}",
        file,
        lambda: claims_report.report_markdown(sections, file.parent),
        save,
    )


def _own_entity() -> str:
    """The entity of the API key's owner: where `trainlab sync` has put the runs."""
    import wandb

    return os.environ.get("WANDB_ENTITY") or wandb.Api().default_entity or ""
