"""Encoded pictures of a data set, opened one after the other: those of class folders and of parquet.

A large folder never lies in memory whole. What is broken is named all at once; pictures of more than 8 bits
share one black and one white (see `pixels.Depth`), which is looked up when the first of them comes.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from PIL import Image

from trainlab.data.image_file import opened, read_picture, saying
from trainlab.data.pixels import Depth, Extent, extent, is_deep
from trainlab.errors import RequestError

MOST_NAMED = 10
"""Broken files are named up to this number, then counted."""
Encoded = tuple[str, Path | bytes]
"""(What errors call it, where or what it is.)"""


class Pictures:
    """The pictures of all splits of a data set.

    splits: of each split its encoded pictures, in order.
    size: (width, height) that all should have; those of another are counted.
    """

    def __init__(self, splits: Mapping[str, Sequence[Encoded]], size: tuple[int, int] | None = None) -> None:
        self._splits = splits
        self._size = size
        self._depth: Depth | None = None
        self._of_another_size = 0

    def of(self, split: str) -> Iterator[Image.Image]:
        """The pictures of one split, of mode "L" or "RGB".

        Raises RequestError at the first that is broken, naming all that are, of all splits.
        """
        for name, source in self._splits[split]:
            try:
                picture = read_picture(source, name, self.depth, fewest_side=1)
            except RequestError as error:
                raise self._broken(error) from None
            if self._size and picture.image.size != self._size:
                self._of_another_size += 1
            yield picture.image

    def depth(self) -> Depth:
        """Black and white of all pictures of more than 8 bits together."""
        if self._depth is None:
            self._depth = Depth.of(self._extents())
        return self._depth

    @property
    def known_depth(self) -> Depth | None:
        """The same where it was needed, else None."""
        return self._depth

    def notes(self) -> list[str]:
        """What is to be told about the pictures once they have been read."""
        notes = []
        if self._depth is not None:
            notes.append(f"pictures of more than 8 bits a pixel: {self._depth.said()}")
        if self._of_another_size and self._size:
            width, height = self._size
            notes.append(
                f"{self._of_another_size:,} images are not {width} × {height}: "
                "cropped about their centre and resized"
            )
        return notes

    def _all(self) -> Iterator[Encoded]:
        for split in self._splits.values():
            yield from split

    def _extents(self) -> Iterator[Extent]:
        for _, source in self._all():
            try:
                with saying(""), opened(source, fewest_side=1) as image:
                    if is_deep(image):
                        yield extent(image)
            except RequestError:
                continue  # it is named, with all others, when its turn comes

    def _broken(self, first: RequestError) -> RequestError:
        faults = []
        for name, source in self._all():
            try:
                read_picture(source, name, None, fewest_side=1)
            except RequestError as error:
                faults.append(str(error))
        if len(faults) < 2:
            return RequestError(f"corrupt or unreadable data file {first}")
        named = "; ".join(faults[:MOST_NAMED])
        more = f"; and {len(faults) - MOST_NAMED:,} more" if len(faults) > MOST_NAMED else ""
        return RequestError(f"{len(faults):,} corrupt or unreadable data files: {named}{more}")
