"""What a source of images is, the built-in ones by name, and where their files are looked for.

A source of one's own is a class with one method, `find(root)`, called with `paths.data`. It is named by a
YAML file in your project's `conf/data/`, and chosen by that file's name (`trainlab train data=noise`):

    # my_images.py
    import numpy as np

    from trainlab.data import DatasetHandle, Decoded, Examples

    class Noise:
        def __init__(self, classes=2):
            self.classes = classes

        def find(self, root):
            recipe = f"noise {self.classes}"
            return DatasetHandle(copy="noise", recipe=recipe, read=self.read, shape_HWC=(16, 16, 1))

        def read(self):
            draw = np.random.default_rng(0)

            def some(count):
                y_N = np.arange(count) % self.classes
                x_NHWC = draw.integers(0, 128, (count, 16, 16, 1)) + 64 * y_N[:, None, None, None]
                return Examples(x_NHWC.astype(np.uint8), y_N)

            return Decoded(train=some(400), test=some(100), classes=("dark", "light"))

    # conf/data/noise.yaml
    # Two kinds of noise, one lighter than the other
    name: noise
    source: {_target_: my_images.Noise, classes: 2}
    image_size: 16
    channels: 1
    num_classes: 2
    batch_size: 64
    train_size: null
    val_size: 80
    test_size: null
    split_seed: 0
    default_epochs: 3
"""

import inspect
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np
from PIL import Image

from trainlab.data.image_conversion import BitDepth, ShapeHWC
from trainlab.errors import RequestError, unknown_name
from trainlab.instantiate import instantiate, resolve_paths
from trainlab.instantiate.parts import SOURCE
from trainlab.section import Component
from trainlab.settings import Settings

BUILT_IN = {
    "digits": "trainlab.data.digits.Digits",
    "mnist": "trainlab.data.torchvision_datasets.mnist",
    "fashion_mnist": "trainlab.data.torchvision_datasets.fashion_mnist",
    "cifar10": "trainlab.data.torchvision_datasets.cifar10",
    "shapeset": "trainlab.data.shapeset.Shapeset",
    "image_folder": "trainlab.data.image_folder.ImageFolder",
}
"""The data sets of `conf/data`, each by what builds its source."""

_may_download: ContextVar[bool] = ContextVar("may_download", default=True)
Result = TypeVar("Result")


@dataclass(frozen=True)
class Examples:
    """Images with their labels, as read.

    images: one array x_NHWC or x_NHW, or anything that gives the images one after the other (arrays of
        shape (H, W) or (H, W, C), or PIL images): a large folder need never lie in memory whole. uint8.
    y_N: integer labels 0..K-1.
    """

    images: Iterable[np.ndarray | Image.Image]
    y_N: np.ndarray


@dataclass(frozen=True)
class Decoded:
    """The official training split, the official test split, and the names of the K classes.

    val: a validation split of its own, where the data have one; else it is cut from train.
    notes: called once the images have been read: what the user should know about them, a line each.
    bit_depth: called likewise: black and white of images of more than 8 bits a pixel, None without any.
    """

    train: Examples
    test: Examples
    classes: tuple[str, ...]
    val: Examples | None = None
    notes: Callable[[], Sequence[str]] = tuple
    bit_depth: Callable[[], BitDepth | None] = lambda: None


@dataclass(frozen=True)
class DatasetHandle:
    """A data set that has been found and not yet read.

    copy: a short text on which copy it is ("official files"), or a function that opens the files to say it
        (its answer is remembered with the fingerprint).
    read: reads it. Raises RequestError naming the file that is corrupt.
    files: every file that decides the content, by the name under which it is hashed.
    recipe: whatever else decides the content: a generator's version and parameters.
    shape_HWC: the images' own shape, or None where they differ (then image_size and channels must be given).
    notes: what the user should know, a line each (files passed over), or a function that opens the files to
        say it (remembered with the fingerprint).
    """

    copy: str | Callable[[], str]
    read: Callable[[], Decoded]
    files: Mapping[str, Path] = field(default_factory=dict)
    recipe: str = ""
    shape_HWC: ShapeHWC | None = None
    notes: Sequence[str] | Callable[[], Sequence[str]] = ()


@runtime_checkable
class Source(Protocol):
    """Where images come from: the one method that a class of one's own needs."""

    def find(self, root: Path) -> DatasetHandle:
        """Look below `root` (paths.data, perhaps read-only); get what is missing, or raise RequestError."""
        ...


SourceLike: TypeAlias = str | Component | Mapping[str, object] | Source
"""A built-in name, a `{_target_: …}` node, as settings or as a plain mapping, or a source already built."""


def build_source(source: SourceLike) -> Source:
    """The source itself.

    Raises RequestError for an unknown name, a node that cannot be built, or an object without `find`.
    """
    if isinstance(source, str):
        if source not in BUILT_IN:
            raise unknown_name("data set", source, BUILT_IN)
        source = {"_target_": BUILT_IN[source]}
    built = instantiate(source, SOURCE) if isinstance(source, Component | Mapping) else source
    if not isinstance(built, Source):
        raise RequestError(f"data.source: got a {type(built).__name__}, expected an object with find(root)")
    try:
        inspect.signature(built.find).bind(Path())
    except TypeError as error:
        raise RequestError(
            f"data.source {type(built).__name__}.find: {error}; expected find(root)"
        ) from error
    return built


class DatasetNotFound(RequestError):
    """The data set does not lie in this folder, and is not to be downloaded into it."""


@contextmanager
def no_downloads() -> Generator[None, None, None]:
    """Inside the block a missing data set raises `DatasetNotFound`: the folder is not ours to write to."""
    before = _may_download.set(False)
    try:
        yield
    finally:
        _may_download.reset(before)


def may_download() -> bool:
    """Whether a data set that is missing may be downloaded into its folder."""
    return _may_download.get()


def with_data_paths(
    settings: Settings,
    use: Callable[[str, str], Result],
    data_folder: Path | None = None,
    cache: Path | None = None,
) -> Result:
    """`use(root, cache)` with the folders in which the data of these settings are looked for.

    The user's own settings are followed. The data folder of a stranger's settings is only read, if it exists:
    nothing is downloaded into it. What is missing there is looked for in, or downloaded into, this machine's
    own folder, and decoded images lie in this machine's own cache. `data_folder` and `cache`, where the user
    gives them, go before both.
    """
    own_paths = resolve_paths(settings)
    cache_folder = own_paths.cache if cache is None else str(cache)
    if data_folder is not None:
        return use(str(data_folder), cache_folder)
    recorded = settings.paths.data
    if recorded != own_paths.data and Path(recorded).is_dir():
        with suppress(DatasetNotFound), no_downloads():
            return use(recorded, cache_folder)
    return use(own_paths.data, cache_folder)
