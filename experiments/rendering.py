"""What the written pages of the experiments share: rounded numbers, a template that is filled."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def round_numbers(value: Any) -> Any:
    """Plain values with five digits, None in the place of NaN: what is recorded is what is shown."""
    if isinstance(value, Mapping):
        return {str(k): round_numbers(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [round_numbers(v) for v in value]
    if isinstance(value, float | np.floating):
        return None if np.isnan(value) else float(f"{value:.5g}")
    return value


def render_template(template: Path, parts: Mapping[str, str]) -> str:
    """The text of `template` with each `<!-- name -->` replaced by the part of that name."""
    text = template.read_text(encoding="utf-8")
    for name, content in parts.items():
        text = text.replace(f"<!-- {name} -->", content)
    return text
