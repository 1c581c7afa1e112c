"""`python -m experiments.notes`: writes the page, and the pictures of the lessons that need no run."""

import sys
from pathlib import Path

from experiments.notes.facts import computed_facts
from experiments.notes.page import PAGE, picture_files, render_page
from trainlab.claims.pictures import write_picture
from trainlab.config import compose
from trainlab.errors import RequestError


def main() -> int:
    """Draws, computes and writes."""
    try:
        paths = compose(["data=mnist"]).paths
        root, cache = Path(paths.data), Path(paths.cache)
        for path in sorted(picture_files()):
            write_picture(path, path.stem, root, cache)
        PAGE.write_text(render_page(computed_facts(root, cache)), encoding="utf-8")
    except RequestError as error:
        print(f"notes: {error}", file=sys.stderr)
        return 2
    print(PAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
