"""The parts of the settings that name a class or function: what each is called with, and what
untrusted settings may name in it."""

from dataclasses import dataclass

from trainlab.axes import AXES, Axis

TARGET = "_target_"


@dataclass(frozen=True)
class Part:
    """A part of the settings, and which objects it may name where the settings are untrusted.

    classes_in: packages or modules; a class defined in one of them will do if it is a subclass of `base`
        (`module.Class`; any class where that is None).
    named: single classes and functions that will do as well.
    """

    name: str
    classes_in: tuple[str, ...] = ()
    base: str | None = None
    named: tuple[str, ...] = ()


def part_name(axis: Axis) -> str:
    """The name of the part that an axis names: of a data set, its source."""
    return "data.source" if axis.name == "data" else axis.name


PARTS = {
    axis.name: Part(part_name(axis), axis.classes_in, axis.base, axis.objects)
    for axis in AXES
    if axis.is_component
}
"""What untrusted settings may name, by axis."""
ACTIVATION, INIT, NORMALIZATION = PARTS["activation"], PARTS["init"], PARTS["normalization"]
NORM_LAYER, POOL, MODEL, SOURCE = PARTS["norm_layer"], PARTS["pool"], PARTS["model"], PARTS["data"]
AUGMENT, OPTIMIZER, SCHEDULER = PARTS["augment"], PARTS["optimizer"], PARTS["scheduler"]
LOGGER = PARTS["logger"]

CALL_SIGNATURES = {
    part_name(axis): axis.called_with or "(network)"
    for axis in AXES
    if axis.called_with or axis.wraps_network
}
"""By part, what it is called with; the docstrings of `trainlab.nn`, `trainlab.models` and
`trainlab.data.dataset_sources` have an example of each."""
PARTIAL_PARTS = frozenset(part_name(axis) for axis in AXES if axis.is_partial) & frozenset(CALL_SIGNATURES)
"""Parts that are called when the network is built, and not where the settings are read: `_partial_: true`."""


def expected_call(part: str, is_partial: bool = True) -> str:
    """What is said behind a TypeError: how the part is called, and that it must wait for its call."""
    if part not in CALL_SIGNATURES:
        return ""
    said = f"; expected: {part} is called with {CALL_SIGNATURES[part]}"
    return said if is_partial or part not in PARTIAL_PARTS else f"{said}, so its YAML needs _partial_: true"
