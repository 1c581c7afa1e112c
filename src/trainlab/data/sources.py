"""What a source of images is, the built-in ones by name, and their identity without decoding them.

A source of one's own is a class with one method, `find(root)`, called with `paths.data`. It is named by a
YAML file in your project's `conf/data/`, and chosen by that file's name (`trainlab train data=noise`):

    # my_images.py
    import numpy as np

    from trainlab.data import Decoded, Examples, Found

    class Noise:
        def __init__(self, classes=2):
            self.classes = classes

        def find(self, root):
            return Found(copy="noise", recipe=f"noise {self.classes}", read=self.read, shape_HWC=(16, 16, 1))

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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from PIL import Image

from trainlab.build import build, policy
from trainlab.errors import RequestError, unknown

if TYPE_CHECKING:
    from trainlab.data.fingerprint import Identity
    from trainlab.data.pixels import Depth

BUILT_IN = {
    "digits": "trainlab.data.digits.Digits",
    "mnist": "trainlab.data.official.mnist",
    "fashion_mnist": "trainlab.data.official.fashion_mnist",
    "cifar10": "trainlab.data.official.cifar10",
    "shapeset": "trainlab.data.shapeset.Shapeset",
    "image_folder": "trainlab.data.image_folder.ImageFolder",
}
"""The data sets of `conf/data`, each by what builds its source."""


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
    notes: asked once the images have been read: what is to be told about them, a line each.
    depth: asked likewise: black and white of pictures of more than 8 bits a pixel, None where there are none.
    """

    train: Examples
    test: Examples
    classes: tuple[str, ...]
    val: Examples | None = None
    notes: Callable[[], Sequence[str]] = tuple
    depth: Callable[[], "Depth | None"] = lambda: None


@dataclass(frozen=True)
class Found:
    """A data set that is there, not yet read.

    copy: a short text on which copy it is ("official files"), or a function that opens the files to say it
        (its answer is remembered with the fingerprint).
    read: reads it. Raises RequestError naming the file that is corrupt.
    files: every file that decides the content, by the name under which it is hashed.
    recipe: whatever else decides the content: a generator's version and parameters.
    shape_HWC: the images' own shape, or None where they differ (then image_size and channels must be given).
    notes: what was seen on looking and is to be told, a line each (files passed over), or what says it by
        opening the files (remembered with the fingerprint).
    """

    copy: str | Callable[[], str]
    read: Callable[[], Decoded]
    files: Mapping[str, Path] = field(default_factory=dict)
    recipe: str = ""
    shape_HWC: tuple[int, int, int] | None = None
    notes: Sequence[str] | Callable[[], Sequence[str]] = ()


@runtime_checkable
class Source(Protocol):
    """Where images come from: the one method that a class of one's own needs."""

    def find(self, root: Path) -> Found:
        """Look below `root` (paths.data, perhaps read-only); get what is missing, or raise RequestError."""
        ...


def build_source(source: str | Mapping[str, Any] | Source) -> Source:
    """The source itself, from a built-in name, a `{_target_: …}` node, or a source already built.

    Raises RequestError for an unknown name, a node that cannot be built, or an object without `find`.
    """
    if isinstance(source, str):
        if source not in BUILT_IN:
            raise unknown("data set", source, BUILT_IN)
        source = {"_target_": BUILT_IN[source]}
    built = build(source, policy.SOURCE) if isinstance(source, Mapping) else source
    if not isinstance(built, Source):
        raise RequestError(f"data.source: got a {type(built).__name__}, expected an object with find(root)")
    try:
        inspect.signature(built.find).bind(Path())
    except TypeError as error:
        raise RequestError(
            f"data.source {type(built).__name__}.find: {error}; expected find(root)"
        ) from error
    return built


def identify(data_settings: Mapping[str, Any], root: str | Path, cache: str | Path) -> tuple[str, str]:
    """(fingerprint, copy) of the data set of a `data:` node, without decoding it and without torch.

    The first look reads every file once (MNIST: 0.1 s); later ones compare sizes and times (milliseconds).
    Raises RequestError where the data is neither found nor downloaded, or `cache` cannot be written.
    """
    fingerprint, copy, _ = look(data_settings, root, cache)
    return fingerprint, copy


def look(data_settings: Mapping[str, Any], root: str | Path, cache: str | Path) -> "Identity":
    """(fingerprint, copy, notes) likewise: with what is to be told about the files that were found."""
    from trainlab.data.fingerprint import identity

    found = build_source(data_settings["source"]).find(Path(root))
    return identity(found, Path(cache))
