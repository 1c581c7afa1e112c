"""Image parquet as dataset hubs serve it: a column of encoded images {bytes, path}, a column of labels.

Files are `train-*.parquet` and `test-*.parquet`, in the folder or one that the hub made below it
(`plain_text/train-…`, `data/…`, `default/train/0000.parquet`); `-00001-of-00003` in a name says how many
belong together.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from trainlab.data.dataset_sources import DatasetHandle, Decoded, Examples
from trainlab.data.encoded_images import EncodedImage, EncodedImages
from trainlab.data.files import explain_read_errors
from trainlab.data.image_conversion import ShapeHWC
from trainlab.errors import RequestError

if TYPE_CHECKING:
    import polars as pl

IMAGE_COLUMNS = ("img", "image")
LABEL_COLUMN = "label"
JPEG_MAGIC = b"\xff\xd8\xff"
SPLIT_PATTERN = re.compile(r"^(train|test)(?![a-z])", re.IGNORECASE)
ImagesAndLabels: TypeAlias = tuple[list[bytes], np.ndarray]


def find(folder: Path, classes: tuple[str, ...], shape_HWC: ShapeHWC) -> DatasetHandle | None:
    """The data set in `folder` if it holds both splits, else None. RequestError where a part is missing."""
    train, test = (_check_all_parts(folder, split, parts) for split, parts in _parts_by_split(folder).items())
    if not train or not test:
        return None

    def copy() -> str:
        encoded, _ = _rows(train[0], classes, first_only=True)
        return "JPEG copy (parquet)" if encoded[0].startswith(JPEG_MAGIC) else "parquet copy"

    def read() -> Decoded:
        tables = {"train": [_rows(p, classes) for p in train], "test": [_rows(p, classes) for p in test]}
        named = {
            "train": _encoded_images(train, tables["train"]),
            "test": _encoded_images(test, tables["test"]),
        }
        images = EncodedImages(named, size=(shape_HWC[1], shape_HWC[0]))
        labels = {split: np.concatenate([y_N for _, y_N in of_split]) for split, of_split in tables.items()}
        parts = {split: Examples(images.decode(split), y_N) for split, y_N in labels.items()}
        return Decoded(**parts, classes=classes, notes=images.notes, bit_depth=images.used_bit_depth)

    files = {path.relative_to(folder).as_posix(): path for path in (*train, *test)}
    return DatasetHandle(copy=copy, read=read, files=files, shape_HWC=shape_HWC)


def _parts_by_split(folder: Path) -> dict[str, list[Path]]:
    """The parts of each split: of the folder itself, or else of the one folder below that has any."""
    below: dict[Path, dict[str, list[Path]]] = {}
    for path in sorted(folder.rglob("*.parquet")) if folder.is_dir() else ():
        split = SPLIT_PATTERN.match(path.name) or SPLIT_PATTERN.match(
            path.parent.name if path.parent != folder else ""
        )
        home = path.parent if SPLIT_PATTERN.match(path.name) else path.parent.parent
        if split and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            parts = below.setdefault(home, {"train": [], "test": []})
            parts[split[1].lower()].append(path)
    if folder in below:
        return below[folder]
    if len(below) > 1:
        names = ", ".join(str(home.relative_to(folder)) for home in below)
        raise RequestError(
            f"parquet files in {len(below)} folders of {folder}: {names}; keep one of them there"
        )
    return next(iter(below.values()), {"train": [], "test": []})


def _check_all_parts(folder: Path, split: str, parts: list[Path]) -> list[Path]:
    for path in parts:
        numbered = re.search(r"-of-(\d+)\.parquet$", path.name)
        if numbered and int(numbered[1]) != len(parts):
            raise RequestError(
                f"incomplete data set in {folder}: got {len(parts)} {split}-*.parquet, "
                f"expected {int(numbered[1])} by the name {path.name}"
            )
    return parts


def _rows(path: Path, classes: tuple[str, ...], first_only: bool = False) -> ImagesAndLabels:
    """The encoded images of one file and their labels."""
    import polars as pl  # a third of a second that only this layout costs

    with explain_read_errors(path, pl.exceptions.PolarsError):
        columns = pl.read_parquet_schema(path)
        image = next((name for name in IMAGE_COLUMNS if name in columns), None)
        if image is None or LABEL_COLUMN not in columns:
            raise ValueError(f"got columns {list(columns)}, expected img{{bytes,path}} and {LABEL_COLUMN}")
        table = pl.read_parquet(path, columns=[image, LABEL_COLUMN], n_rows=1 if first_only else None)
        if table.is_empty():
            raise ValueError("it has no rows")
        return _image_bytes(table[image]), _labels(table[LABEL_COLUMN], classes)


def _image_bytes(column: "pl.Series") -> list[bytes]:
    """The images of a column of {bytes, path}, or of bytes alone."""
    import polars as pl

    if isinstance(column.dtype, pl.Struct) and "bytes" in (field.name for field in column.dtype.fields):
        column = column.struct.field("bytes")
    if column.dtype != pl.Binary:
        raise ValueError(f"column {column.name} holds {column.dtype}, expected {{bytes, path}} or bytes")
    if column.null_count():
        raise ValueError(f"{column.null_count():,} images of column {column.name} are missing (null)")
    return column.to_list()


def _labels(column: "pl.Series", classes: tuple[str, ...]) -> np.ndarray:
    """Labels as integers; names of the classes, and integers written as text, are mapped."""
    import polars as pl

    if column.null_count():
        raise ValueError(f"some labels are missing: {column.null_count():,} of {len(column):,} are null")
    if column.dtype in (pl.String, pl.Categorical) or isinstance(column.dtype, pl.Enum):
        texts = column.cast(pl.String).str.strip_chars().to_list()
        known = {name: label for label, name in enumerate(classes)}
        known |= {str(label): label for label in range(len(classes))}
        if unknown := sorted({text for text in texts if text.lower() not in known})[:5]:
            raise ValueError(
                f"labels are text: got {', '.join(unknown)}, expected {', '.join(classes)} or numbers"
            )
        return np.array([known[text.lower()] for text in texts], dtype=np.int64)
    if column.dtype.is_float():
        values = column.to_numpy()
        if (odd_N := values[values != np.floor(values)]).size:
            raise ValueError(f"labels are fractions: got {odd_N[0]:g}, expected 0..{len(classes) - 1}")
        return values.astype(np.int64)
    if not column.dtype.is_integer():
        raise ValueError(f"labels are {column.dtype}, expected integers 0..{len(classes) - 1}")
    return column.cast(pl.Int64).to_numpy()


def _encoded_images(paths: list[Path], tables: list[ImagesAndLabels]) -> list[EncodedImage]:
    return [
        (f"{path}: image {row} is broken", content)
        for path, (encoded, _) in zip(paths, tables, strict=True)
        for row, content in enumerate(encoded)
    ]
