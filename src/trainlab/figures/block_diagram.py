"""A network as blocks between its poolings: how maps get more and smaller, and where parameters lie."""

from collections.abc import Sequence
from dataclasses import dataclass

from trainlab.figures.style import COLOURS
from trainlab.figures.svg_canvas import ON_DARK_CELL, QUIET, SvgCanvas


@dataclass(frozen=True)
class BlockLayer:
    """A layer: its name, kernel (None where it has none), output shape (C, H, W) or (units,), parameters."""

    name: str
    kernel: tuple[int, ...] | None
    out_shape: tuple[int, ...]
    parameters: int


@dataclass(frozen=True)
class Block:
    """Layers with parameters that give the same number of maps at the same size; or the dense layers."""

    layers: tuple[BlockLayer, ...]
    is_dense: bool
    is_pooled: bool
    """Whether a pooling follows: a window without parameters."""

    @property
    def out_shape(self) -> tuple[int, ...]:
        return self.layers[-1].out_shape

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)


def cut_into_blocks(layers: Sequence[BlockLayer]) -> list[Block]:
    """The layers with parameters, a block for each size of maps, then one of all dense layers."""
    blocks: list[list[BlockLayer]] = []
    pooled: set[int] = set()
    for layer in layers:
        if not layer.parameters:
            if layer.kernel is not None and blocks:
                pooled.add(len(blocks) - 1)
        elif blocks and blocks[-1][-1].out_shape[1:] == layer.out_shape[1:]:
            blocks[-1].append(layer)
        else:
            blocks.append([layer])
    return [
        Block(tuple(block), len(block[-1].out_shape) == 1, number in pooled)
        for number, block in enumerate(blocks)
    ]


SCALE = 0.9
"""Points of height a pixel of the largest maps, 224."""
LEAST = 34


def block_diagram(layers: Sequence[BlockLayer], title: str, subtitle: str) -> str:
    """SVG of the blocks: their height follows the size of their maps, their width the number of layers."""
    blocks = cut_into_blocks(layers)
    largest = max(max(block.out_shape[1:], default=1) for block in blocks)
    unit = min(SCALE, 200 / largest)
    middle = 96 + unit * largest / 2
    canvas = SvgCanvas(
        int(12 + sum(_block_width(block) + 34 for block in blocks)), int(96 + unit * largest + 136)
    )
    canvas.title(title, subtitle)
    total = sum(block.parameters for block in blocks)
    x = 12.0
    for number, block in enumerate(blocks):
        width = _block_width(block)
        height = max(LEAST, unit * max(block.out_shape[1:], default=0))
        bar = width / len(block.layers)
        for place, layer in enumerate(block.layers):
            colour = COLOURS[1] if block.is_dense else COLOURS[0]
            canvas.box(x + place * bar, middle - height / 2, bar - 4, height, colour, colour, 1, 0.85)
            label = f"{layer.out_shape[0]}"
            canvas.text(x + place * bar + bar / 2 - 2, middle + 4, label, 11, ON_DARK_CELL, "middle", "bold")
        if number + 1 < len(blocks):
            canvas.arrow(x + width + 2, middle, x + width + 30)
            if block.is_pooled:
                canvas.text(x + width + 15, middle - 10, "pool", 11, QUIET, "middle")
        below = 96 + unit * largest + 28
        for line, words in enumerate(_block_words(block, total)):
            canvas.text(x, below + 18 * line, words, colour=QUIET if line else "#333")
        x += width + 34
    return canvas.render()


def _block_width(block: Block) -> float:
    return max(40.0 * len(block.layers), 96.0)


def _block_words(block: Block, total: int) -> list[str]:
    count = len(block.layers)
    share = f"{100 * block.parameters / total:.1f} % of all"
    if block.is_dense:
        units = " → ".join(str(layer.out_shape[0]) for layer in block.layers)
        return [f"{count} dense", units, f"{block.parameters:,}", "parameters", share]
    kernel = "×".join(map(str, block.layers[0].kernel or ()))
    size = "×".join(map(str, block.out_shape[1:]))
    return [
        f"{count} × conv {kernel}",
        f"{block.out_shape[0]} maps",
        f"of {size}",
        f"{block.parameters:,}",
        share,
    ]
