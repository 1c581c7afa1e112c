"""How each part of the settings is called: what a class of one's own must take."""

EXPECTED = {
    "model": "(in_shape_CHW, num_classes, activation, norm_layer, pool), all by name",
    "activation": "() for each of its places",
    "norm_layer": "(num_features) for each of its places",
    "pool": "() for each of its places",
    "normalization": "(mean_C, std_C), both by name",
    "init": "(layer, negative_slope=0.0)",
    "optimizer": "(parameters)",
    "scheduler": "(optimizer, total_steps)",
    "augment": "(x_NCHW, generator)",
    "data.source": "find(root)",
}
"""By part, what it is called with; the docstrings of `trainlab.nn`, `trainlab.models` and
`trainlab.data.sources` have an example of each."""
LATER = frozenset(EXPECTED) - {"init", "data.source"}
"""Parts that are called when the network is built, and not where the settings are read: `_partial_: true`."""


def expected(part: str, is_partial: bool = True) -> str:
    """What is said behind a TypeError: how the part is called, and that it must wait for its call."""
    if part not in EXPECTED:
        return ""
    said = f"; expected: {part} is called with {EXPECTED[part]}"
    return said if is_partial or part not in LATER else f"{said}, so its YAML needs _partial_: true"
