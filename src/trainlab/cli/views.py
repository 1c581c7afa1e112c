"""`trainlab workspace`: a sweep as a saved view, the claims as a report; as files without a network."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trainlab.errors import RequestError
from trainlab.runs import CorruptRunError
from trainlab.runs.safe_files import write_atomically
from trainlab.training import wandb_connection
from trainlab.units import pluralize


@dataclass(frozen=True)
class WandbArtifact:
    """What is to be on W&B: how it is saved there (gives its address), and how it is as a file."""

    what: str
    file: Path
    text: Callable[[], str]
    save: Callable[[], str]


def workspace(
    folder: Path,
    sweep: str | None,
    report: bool,
    entity: str | None,
    project: str | None,
    out: Path | None,
    experiments: Path | None,
) -> int:
    """Saves a sweep's view, and the claims' report, on W&B; 1 where W&B refuses.

    Into files where W&B cannot be reached, and with `out`: the view there, the report beside it.

    Raises:
        RequestError: no such sweep, no claim that was run, or the package is missing.
    """
    if sweep is None and not report:
        raise RequestError("workspace: expected the name of a sweep, or --report")
    try:
        import wandb_workspaces  # noqa: F401
    except ModuleNotFoundError:
        raise RequestError("workspace: not installed; pip install 'trainlab[workspace]'") from None
    pieces = []
    if sweep is not None:
        pieces.append(_sweep_artifact(folder, sweep, entity, project, out))
    if report:
        beside = out.with_suffix(".report.md") if out and sweep is not None else out
        pieces.append(_report_artifact(experiments, entity, project, beside))
    not_online = "as asked" if out else _why_not_online()
    return max([_save_or_write(piece, not_online) for piece in pieces])


def _why_not_online() -> str | None:
    return (
        wandb_connection.unreachable_reason()
        if wandb_connection.has_api_key()
        else wandb_connection.NO_KEY_MESSAGE
    )


def _save_or_write(piece: WandbArtifact, not_online: str | None) -> int:
    """Saves it on W&B, or writes it as a file and says why."""
    code = 0
    if not_online is None:
        try:
            print(f"{piece.what}: {piece.save()}")
            return 0
        except Exception as error:  # the errors of W&B's client have nothing in common
            not_online, code = f"W&B refused it: {' '.join(str(error).split())}", 1
    try:
        piece.file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(piece.file, piece.text())
    except OSError as error:
        raise RequestError(f"cannot write {piece.file}: {error.strerror}; choose with --out") from None
    print(f"{piece.what}: written to {piece.file} ({not_online})")
    return code


def _sweep_artifact(
    folder: Path, name: str, entity: str | None, project: str | None, out: Path | None
) -> WandbArtifact:
    from trainlab.wandb_sync import sweep_view

    try:
        sweep = sweep_view.summarize_sweep(folder, name)
    except CorruptRunError as broken:
        raise RequestError(str(broken)) from broken
    place = project or sweep.project

    def save() -> str:
        return sweep_view.build_workspace(sweep, entity or sweep.entity or _own_entity(), place).save().url

    def text() -> str:
        return sweep_view.workspace_json(sweep_view.build_workspace(sweep, entity or sweep.entity, place))

    return WandbArtifact(f"the view of the sweep {name}", out or Path(f"{name}.workspace.json"), text, save)


def _report_artifact(
    experiments: Path | None, entity: str | None, project: str | None, out: Path | None
) -> WandbArtifact:
    from trainlab.claims import registry as claims
    from trainlab.wandb_sync import claims_report
    from trainlab.wandb_sync.sweep_view import PROJECT

    told = claims_report.report_sections(claims.load_claims(experiments or claims.default_claims_folder()))
    file = out or Path("claims.report.md")

    def save() -> str:
        return claims_report.build_report(told, entity or _own_entity(), project or PROJECT).save().url

    return WandbArtifact(
        f"the report of {pluralize(len(told), 'claim')}",
        file,
        lambda: claims_report.report_markdown(told, file.parent),
        save,
    )


def _own_entity() -> str:
    """The entity of whoever has the key: where `trainlab sync` has put the runs."""
    import wandb

    return os.environ.get("WANDB_ENTITY") or wandb.Api().default_entity or ""
