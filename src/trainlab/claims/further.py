"""Pages of experiments that are no claims, as parts of the report: Markdown to HTML, pictures inside."""

import base64
import re
from pathlib import Path

from markdown_it import MarkdownIt

from trainlab.claims.page import PAGE_FILE

PAGES = ("grid", "forecast")
"""Folders beside the claims that have such a page, in the order of the report."""


def parts(folder: Path) -> list[str]:
    """The pages that there are, as HTML. Raises OSError where one cannot be read."""
    return [part(folder / name / PAGE_FILE) for name in PAGES if (folder / name / PAGE_FILE).exists()]


def part(page: Path) -> str:
    """One page as HTML that needs nothing beside it: pictures inline, links to files as their words."""
    text = MarkdownIt("commonmark", {"html": True}).enable("table").render(page.read_text(encoding="utf-8"))
    text = re.sub(
        r'<img src="([^"]*)" alt="([^"]*)"[^>]*/?>', lambda m: _picture(page.parent, *m.groups()), text
    )
    return re.sub(r'<a href="(?!https?://|#)[^"]*">(.*?)</a>', r"\1", text, flags=re.DOTALL)


def _picture(folder: Path, name: str, says: str) -> str:
    """The picture itself in the place of its address; its words where it is not there."""
    path = folder / name
    if not path.is_file():
        return f"<em>{says}</em>"
    if path.suffix == ".svg":
        return inline(path.read_text(encoding="utf-8"))
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<img alt="{says}" src="data:image/{path.suffix[1:]};base64,{data}">'


def inline(svg: str) -> str:
    """An SVG as it may stand inside HTML: no declarations, no addresses."""
    return re.sub(r'<\?xml.*?\?>|<!DOCTYPE.*?>|\sxmlns(:\w+)?="[^"]*"', "", svg, flags=re.DOTALL)
