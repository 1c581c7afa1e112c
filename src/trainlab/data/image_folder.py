"""A user's own images: `<folder>/train/<class>/*`, and perhaps `<folder>/test/…` and `<folder>/val/…`."""

from dataclasses import dataclass
from pathlib import Path

from trainlab.data.dataset_sources import DatasetHandle
from trainlab.data.formats import class_folders
from trainlab.errors import RequestError


@dataclass(frozen=True)
class ImageFolder:
    """Class folders of images of any sizes.

    folder: below paths.data, or an absolute path. Without `test`, a fifth of each training class becomes
    the test split: always the same images, and the run's record says so in `data.copy`. `val` (or `valid`,
    `validation`) is the validation split; without it one is cut from the training split.
    """

    folder: str | None = None

    def find(self, root: Path) -> DatasetHandle:
        """The class folders. RequestError where there are none, listing the folders that are there."""
        if self.folder is None:
            raise RequestError(
                f"data.folder is not set: expected one with {EXPECTED_LAYOUT}; {_available_folders(root)}"
            )
        folder = root / Path(self.folder).expanduser()
        handle = class_folders.find(folder, cut_test=True)
        if handle is None:
            raise RequestError(
                f"no images in {folder.absolute()}: expected {EXPECTED_LAYOUT}; {_folder_hint(root, folder)}"
            )
        return handle


EXPECTED_LAYOUT = "train/<class>/*.png (or .jpg, …) and perhaps test/<class>/*"
MAX_NAMED = 8


def _folder_hint(root: Path, folder: Path) -> str:
    """What the folder holds instead, and what to do about it."""
    if not folder.is_dir():
        kind = "is a file: unpack it if it is an archive" if folder.exists() else "is not there"
        here = folder.relative_to(root) if folder.is_relative_to(root) else folder
        if not folder.exists() and here.is_dir():
            return f"data.folder is looked for in paths.data: set data.folder={here.absolute()}"
        return f"{folder.name} {kind}; {_available_folders(root)}"
    splits, names = class_folders.split_folders(folder), class_folders.class_folders_in(folder)
    if "train" in splits:
        return _train_folder_hint(folder, splits["train"])
    if names and folder.name.lower() in class_folders.SPLIT_FOLDER_NAMES["train"]:
        return f"the folder above holds {folder.name}/: set data.folder={folder.parent.absolute()}"
    if names and not splits:
        inner = [name for name in names if "train" in class_folders.split_folders(folder / name)]
        if inner:
            return f"there is {inner[0]}/train: set data.folder={folder.name}/{inner[0]}"
        return (
            f"it holds the folders {_first_names(names)}: if these are the classes, move them below "
            f"{folder}/train"
        )
    content = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
    return f"it holds {_first_names(content) if content else 'nothing'}"


def _train_folder_hint(folder: Path, train: Path) -> str:
    loose = sorted(p.name for p in train.iterdir() if p.suffix.lower() in class_folders.SUFFIXES)
    tables = sorted(p.name for p in (*folder.glob("*.csv"), *train.glob("*.csv")))
    if not loose:
        return f"{train.name} holds no class folders"
    hint = f"; {tables[0]} may say the class of each" if tables else ""
    fault = f"{train.name} holds {len(loose):,} images and no class folders"
    return f"{fault}: move each into a folder of its class{hint}"


def _first_names(names: list[str]) -> str:
    return ", ".join(names[:MAX_NAMED]) + (
        f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    )


def _available_folders(root: Path) -> str:
    below = (
        sorted(p.name for p in root.iterdir() if "train" in class_folders.split_folders(p))
        if root.is_dir()
        else []
    )
    return f"folders with a train folder in {root.absolute()}: {', '.join(below) or 'none'}"
