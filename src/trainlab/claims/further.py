"""Pages of experiments that are no claims, as parts of the report: Markdown to HTML, pictures inside."""

import html
import os
import re
from pathlib import Path

from markdown_it import MarkdownIt

from trainlab.claims.others import image
from trainlab.claims.page import PAGE_FILE
from trainlab.runs.reading import read_whole

PAGES = ("grid", "forecast")
"""Folders beside the claims that have such a page, in the order of the report."""


def parts(folder: Path) -> list[str]:
    """The pages that there are, as HTML. Raises OSError where one cannot be read."""
    return [part(folder / name / PAGE_FILE) for name in PAGES if (folder / name / PAGE_FILE).exists()]


def part(page: Path) -> str:
    """One page as HTML that needs nothing beside it: pictures inline, links to files as their words.

    Whoever wrote it: no HTML of theirs but the frame of what is folded away, and no picture from elsewhere.
    """
    content = read_whole(page).decode(errors="replace")
    text = MarkdownIt("commonmark", {"html": False}).enable("table").render(content)
    for escaped, tag in _FOLDED.items():
        text = text.replace(escaped, tag)
    text = re.sub(
        r'<img src="([^"]*)" alt="([^"]*)"[^>]*/?>', lambda m: _picture(page.parent, *m.groups()), text
    )
    return re.sub(r'<a href="(?!https?://|#)[^"]*"[^>]*>(.*?)</a>', r"\1", text, flags=re.DOTALL)


_FOLDED = {html.escape(tag): tag for tag in ("<details>", "</details>", "<summary>", "</summary>")}


def _picture(folder: Path, name: str, says: str) -> str:
    """The picture itself in the place of its address; its words where it is not there, beside the page."""
    path = folder / html.unescape(name)
    is_beside = Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder))  # noqa: PTH100
    return image(path if is_beside else Path(), html.unescape(says))


def inline(svg: str) -> str:
    """An SVG of ours as it may stand inside HTML: no declarations, no addresses."""
    return re.sub(r'<\?xml.*?\?>|<!DOCTYPE.*?>|\sxmlns(:\w+)?="[^"]*"', "", svg, flags=re.DOTALL)
