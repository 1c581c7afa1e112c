"""What the written pages of the experiments share: rounded numbers, a template that is filled."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar, cast

import numpy as np

T = TypeVar("T")


def round_numbers(content: T) -> T:
    """Plain data with five digits, None in the place of NaN: what is recorded is what is shown."""
    return cast(T, _round(content))


def _round(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _round(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_round(item) for item in value]
    if isinstance(value, float | np.floating):
        return None if np.isnan(value) else float(f"{value:.5g}")
    return value


def render_template(template: Path, parts: Mapping[str, str]) -> str:
    """The text of `template` with each `<!-- name -->` replaced by the part of that name."""
    text = template.read_text(encoding="utf-8")
    for name, content in parts.items():
        text = text.replace(f"<!-- {name} -->", content)
    return text
