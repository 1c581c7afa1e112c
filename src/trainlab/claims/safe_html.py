"""Untrusted pictures and pages in a folder, made safe to embed in a page of ours.

A picture becomes an `<img>` whose address holds it whole: shown like this, a browser runs no script, follows
no link and fetches nothing. Markdown becomes HTML without any tags of its author, and without pictures from
elsewhere.
"""

import base64
import html
import os
import re
from pathlib import Path

from markdown_it import MarkdownIt

from trainlab.claims.claim_page import PAGE_FILE
from trainlab.runs.safe_files import read_bounded

MAX_IMAGE_BYTES = 8 * 2**20
IMAGE_TYPES = {
    ".svg": "svg+xml", ".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".gif": "gif", ".webp": "webp",
}  # fmt: skip


def image_tag(path: Path, description: str) -> str:
    """The picture in a file as HTML; its description where there is none, or something else."""
    kind = IMAGE_TYPES.get(path.suffix.lower())
    try:
        content = read_bounded(path, MAX_IMAGE_BYTES) if kind else b""
    except OSError:
        content = b""
    if not content.strip():
        return f"<em>{html.escape(description)}</em>"
    return inline_image(content, str(kind), description)


def inline_image(content: bytes, kind: str, description: str) -> str:
    """A picture whole in its own address, shown as a picture only."""
    data = base64.b64encode(content).decode()
    return f'<img alt="{html.escape(description)}" src="data:image/{kind};base64,{data}">'


def read_svg(path: Path) -> str | None:
    """The text of an SVG file; None where there is none, or what lies there is no SVG."""
    try:
        text = read_bounded(path, MAX_IMAGE_BYTES).decode()
    except (OSError, UnicodeDecodeError):
        return None
    return text if text.lstrip("\ufeff \r\n\t").startswith(("<svg", "<?xml", "<!DOCTYPE svg")) else None


EXTRA_PAGES = ("grid", "forecast")
"""Folders beside the claims that have such a page, in the order of the report."""


def extra_pages(folder: Path) -> list[str]:
    """The pages that there are, as HTML. Raises OSError where one cannot be read."""
    pages = [folder / name / PAGE_FILE for name in EXTRA_PAGES]
    return [page_as_html(page) for page in pages if page.exists()]


def page_as_html(page: Path) -> str:
    """One page as HTML that needs nothing beside it: pictures inline, links to files as their text.

    Of the author's own HTML only `<details>` and `<summary>` are kept, and no picture from elsewhere.
    """
    return markdown_as_html(read_bounded(page).decode(errors="replace"), page.parent)


def markdown_as_html(content: str, folder: Path) -> str:
    """Markdown of a page in `folder` as HTML, in the same way.

    Tags of `<details>` are kept where each that is opened is closed: one that is not would hold what follows.
    """
    text = MarkdownIt("commonmark", {"html": False}).enable("table").render(content)
    opening, closing = (text.count(html.escape(tag)) for tag in ("<details>", "</details>"))
    for escaped, tag in _DETAILS_TAGS.items() if opening == closing else ():
        text = text.replace(escaped, tag)
    text = re.sub(
        r'<img src="([^"]*)" alt="([^"]*)"[^>]*/?>', lambda m: _page_image(folder, *m.groups()), text
    )
    return re.sub(r'<a href="(?!https?://|#)[^"]*"[^>]*>(.*?)</a>', r"\1", text, flags=re.DOTALL)


_DETAILS_TAGS = {html.escape(tag): tag for tag in ("<details>", "</details>", "<summary>", "</summary>")}


def _page_image(folder: Path, name: str, description: str) -> str:
    """The picture in the place of its address; its description where no file beside the page has it."""
    path = folder / html.unescape(name)
    is_beside = Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder))  # noqa: PTH100
    return image_tag(path if is_beside else Path(), html.unescape(description))


def inline_svg(svg: str) -> str:
    """An SVG of ours as it may stand inside HTML: no declarations, no addresses."""
    return re.sub(r'<\?xml.*?\?>|<!DOCTYPE.*?>|\sxmlns(:\w+)?="[^"]*"', "", svg, flags=re.DOTALL)
