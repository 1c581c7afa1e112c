"""Pictures and pages that lie in a folder, of whoever has made it, as they may stand in a page of ours.

A picture becomes an `<img>` whose address holds it whole: what a browser shows so runs no script, follows no
link and fetches nothing. Words become words: no HTML of theirs is passed on, and no picture from elsewhere.
"""

import base64
import html
from pathlib import Path

from trainlab.runs.reading import read_whole

LARGEST_PICTURE = 8 * 2**20
KINDS = {
    ".svg": "svg+xml", ".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".gif": "gif", ".webp": "webp",
}  # fmt: skip


def image(path: Path, says: str) -> str:
    """The picture in a file as HTML; its words where there is none, or something else."""
    kind = KINDS.get(path.suffix.lower())
    try:
        content = read_whole(path, LARGEST_PICTURE) if kind else b""
    except OSError:
        content = b""
    if not content.strip():
        return f"<em>{html.escape(says)}</em>"
    return embedded(content, str(kind), says)


def embedded(content: bytes, kind: str, says: str) -> str:
    """A picture whole in its own address, shown as a picture only."""
    data = base64.b64encode(content).decode()
    return f'<img alt="{html.escape(says)}" src="data:image/{kind};base64,{data}">'


def svg_text(path: Path) -> str | None:
    """The text of an SVG file; None where there is none, or what lies there is no SVG."""
    try:
        text = read_whole(path, LARGEST_PICTURE).decode()
    except (OSError, UnicodeDecodeError):
        return None
    return text if text.lstrip("\ufeff \r\n\t").startswith(("<svg", "<?xml", "<!DOCTYPE svg")) else None
