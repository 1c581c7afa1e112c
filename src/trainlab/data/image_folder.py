"""A user's own images: `<folder>/train/<class>/*` and, if there is one, `<folder>/test/<class>/*`."""

from dataclasses import dataclass
from pathlib import Path

from trainlab.data import class_folders
from trainlab.data.sources import Found
from trainlab.errors import RequestError


@dataclass(frozen=True)
class ImageFolder:
    """Class folders of images of any sizes.

    folder: below paths.data, or an absolute path. Without `test`, a fifth of each training class becomes
    the test split: always the same images, and the run's record says so in `data.copy`.
    """

    folder: str | None = None

    def find(self, root: Path) -> Found:
        """The class folders. RequestError where there are none, listing the folders that are there."""
        if self.folder is None:
            raise RequestError(f"data.folder is not set: expected one with {_LAYOUT}; {_available(root)}")
        folder = root / self.folder
        found = class_folders.find(folder, cut_test=True)
        if found is None:
            raise RequestError(f"no images in {folder.absolute()}: expected {_LAYOUT}; {_available(root)}")
        return found


_LAYOUT = "train/<class>/*.png (or .jpg, …) and perhaps test/<class>/*"


def _available(root: Path) -> str:
    below = sorted(p.name for p in root.iterdir() if (p / "train").is_dir()) if root.is_dir() else []
    return f"folders with a train folder in {root.absolute()}: {', '.join(below) or 'none'}"
