"""Where images come from, and how a batch reaches the device.

From a source to a batch, a file each:

    sources      what a source is; the built-in ones by name; `identify` (fingerprint without decoding)
    official     mnist, fashion_mnist, cifar10: found in one of three layouts, else downloaded
                 (layouts: idx, cifar_python, image_parquet, class_folders; checksums: which are official)
    digits       embedded     shapeset     generated     image_folder     the user's own
    fingerprint  a hash of the content, remembered by the files' sizes and times
    pictures     encoded images opened one after the other (image_file: safely; pixels: the one way to pixels)
    store        decoded once into uint8 arrays that every process maps into memory
    content      what these arrays show that is to be told: the same image in two splits, …
    splits       validation and subsets, cut with their own seed
    images       `load_images`: all of the above, as an `ImageData`
    loader       `BatchLoader`: a batch is an index into the array
    augment      whole batches on their device
    intake       someone's own image as a network gets it (handwriting; photo: strokes in a photograph)
    datamodule   the same for Lightning

What is named here needs no torch; `loader`, `augment` and `datamodule` do, and are imported by name.
"""

from trainlab.data.images import ImageData, Split, load_images
from trainlab.data.sources import Decoded, Examples, Found, Source, build_source, identify

__all__ = [
    "Decoded",
    "Examples",
    "Found",
    "ImageData",
    "Source",
    "Split",
    "build_source",
    "identify",
    "load_images",
]
