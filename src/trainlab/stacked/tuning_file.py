"""What was measured on a card, kept in the cache folder: the next process need not measure it again.

One JSON file for each card and torch version: a section for each kind of choice, in which the circumstances,
as text, name what was chosen. It is data: whoever reads it checks that the choice exists here.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import torch

from trainlab.json_types import Json
from trainlab.runs.safe_files import read_bounded, write_atomically

VERSION = 1
"""Another one for other kernels: what was measured of the old ones is not read."""

LARGEST_BYTES = 2**24


def tuning_file(cache: Path, device: torch.device) -> Path:
    """stacked-tuning-<card>-<torch>.json"""
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    name = re.sub(r"[^A-Za-z0-9.+]+", "-", f"{card}-{torch.__version__}-v{VERSION}")
    return cache / f"stacked-tuning-{name}.json"


def read_choices(path: Path) -> dict[str, dict[str, Json]]:
    """By section; nothing where the file is missing or is not such a file."""
    try:
        content = json.loads(read_bounded(path, LARGEST_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {name: dict(choices) for name, choices in content.items() if isinstance(choices, dict)}


def add_choices(path: Path, new: Mapping[str, Mapping[str, Json]]) -> None:
    """Adds to what the file holds. Where it cannot be written, the next process measures again."""
    content = read_choices(path)
    for section, choices in new.items():
        content.setdefault(section, {}).update(choices)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(content, indent=1, allow_nan=False))
    except (OSError, ValueError):
        return
