"""`trainlab anatomy`: what a network is made of, without training it."""

import json
from dataclasses import asdict

from rich.table import Table

from trainlab.cli.arguments import AsJson, Overrides
from trainlab.cli.command_app import command_app
from trainlab.cli.settings_command import SettingsCommand
from trainlab.config import compose
from trainlab.errors import RequestError
from trainlab.settings import Settings
from trainlab.terminal import PlainConsole, markup_text

cli = command_app()


@cli.command(cls=SettingsCommand)
def anatomy(overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Print a network's layers: shapes, parameters, multiply-adds."""
    settings = compose(overrides or [])
    data = settings.data
    if data.image_size is None or data.num_classes is None:
        raise RequestError(
            f"data={settings.axes['data']}: its shape is known once it is read; "
            "expected data.image_size=… and data.num_classes=…"
        )
    import torch

    from trainlab.build.networks import build_network, input_shape_CHW
    from trainlab.models import anatomy as layers_of
    from trainlab.models import totals

    with torch.device("meta"):
        network = build_network(settings, input_shape_CHW(settings), data.num_classes)
    rows = layers_of(network, input_shape_CHW(settings))
    total = totals(rows)
    if as_json:
        print(json.dumps({"layers": [asdict(row) for row in rows], **total._asdict()}, indent=2))
        return
    console = PlainConsole()
    table = Table(title=_title(settings), title_justify="left", box=None, padding=(0, 1, 0, 0))
    for i, column in enumerate(
        ("layer", "kind", "k", "s", "p", "output", "parameters", "mult-adds", "field")
    ):
        table.add_column(column, justify="right" if i >= 6 else "left", no_wrap=True)
    for row in rows:
        table.add_row(
            row.name, row.kind, _size(row.kernel), _size(row.stride), _size(row.padding),
            "×".join(map(str, row.out_shape)), f"{row.parameters:,}", _short_count(row.multiply_adds),
            _size(row.receptive_field),
        )  # fmt: skip
    console.print(table)
    console.print("\nk kernel, s stride, p padding; mult-adds of one image; field: receptive field, pixels")
    console.print(
        markup_text(
            "total: [bold]{}[/bold] parameters, {} multiply-adds",
            f"{total.parameters:,}",
            _short_count(total.multiply_adds),
        )
    )


def _title(settings: Settings) -> str:
    data = settings.data
    depth = f" depth={settings.depth}" if settings.depth else ""
    shape = f"{data.channels}×{data.image_size}×{data.image_size}"
    return f"{settings.axes['model']}{depth} on {shape}, {data.num_classes} classes"


def _size(value: object) -> str:
    """A size in short: 3 for 3 × 3, nothing where there is none."""
    if value is None:
        return ""
    if isinstance(value, tuple | list):
        return str(value[0]) if len(set(value)) == 1 else "×".join(map(str, value))
    return str(value)


def _short_count(count: int) -> str:
    """15470264320 as 15.47 G."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return str(count)
