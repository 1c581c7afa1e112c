"""Image parquet as dataset hubs serve it: a column of encoded images {bytes, path}, a column of labels.

Files are `train-*.parquet` and `test-*.parquet`; `-00001-of-00003` in a name says how many belong together.
"""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from trainlab.data.files import reading
from trainlab.data.sources import Decoded, Examples, Found
from trainlab.errors import RequestError

IMAGE_COLUMNS = ("img", "image")
LABEL_COLUMN = "label"
JPEG_MAGIC = b"\xff\xd8\xff"


def find(folder: Path, classes: tuple[str, ...], shape_HWC: tuple[int, int, int]) -> Found | None:
    """The data set in `folder` if it holds both splits, else None. RequestError where a part is missing."""
    train, test = (_parts(folder, split) for split in ("train", "test"))
    if not train or not test:
        return None

    def copy() -> str:
        encoded, _ = _rows(train[0], first_only=True)
        return "JPEG copy (parquet)" if encoded[0].startswith(JPEG_MAGIC) else "parquet copy"

    def read() -> Decoded:
        return Decoded(_examples(train), _examples(test), classes)

    files = {path.name: path for path in (*train, *test)}
    return Found(copy=copy, read=read, files=files, shape_HWC=shape_HWC)


def _parts(folder: Path, split: str) -> list[Path]:
    parts = sorted(folder.glob(f"{split}-*.parquet"))
    for path in parts:
        numbered = re.search(r"-of-(\d+)\.parquet$", path.name)
        if numbered and int(numbered[1]) != len(parts):
            raise RequestError(
                f"incomplete data set in {folder}: got {len(parts)} {split}-*.parquet, "
                f"expected {int(numbered[1])} by the name {path.name}"
            )
    return parts


def _rows(path: Path, first_only: bool = False) -> tuple[list[bytes], np.ndarray]:
    """The encoded images of one file and their labels."""
    import polars as pl  # a third of a second that only this layout costs

    with reading(path, pl.exceptions.PolarsError):
        columns = pl.read_parquet_schema(path)
        image = next((name for name in IMAGE_COLUMNS if name in columns), None)
        if image is None or LABEL_COLUMN not in columns:
            raise ValueError(f"got columns {list(columns)}, expected img{{bytes,path}} and {LABEL_COLUMN}")
        table = pl.read_parquet(path, columns=[image, LABEL_COLUMN], n_rows=1 if first_only else None)
        if table.is_empty():
            raise ValueError("it has no rows")
        encoded = table[image].struct.field("bytes").to_list()
        return encoded, table[LABEL_COLUMN].cast(pl.Int64).to_numpy()


def _examples(parts: list[Path]) -> Examples:
    tables = [_rows(path) for path in parts]

    def images() -> Iterator[Image.Image]:
        for path, (encoded, _) in zip(parts, tables, strict=True):
            for row, content in enumerate(encoded):
                yield _decode(path, row, content)

    return Examples(images(), np.concatenate([y_N for _, y_N in tables]))


def _decode(path: Path, row: int, content: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(content))
        image.load()
    except (OSError, SyntaxError, ValueError, TypeError) as error:
        raise RequestError(f"corrupt data file {path}: image {row} is broken: {error}") from error
    return image
