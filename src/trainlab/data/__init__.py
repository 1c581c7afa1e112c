"""Where images come from, and how a batch reaches the device.

From a source to a batch, a file each:

    dataset_sources      what a source is, the built-in ones by name, where their files are looked for
    torchvision_datasets mnist, fashion_mnist, cifar10: in one of several `formats`, else downloaded
    official_files       which files are the official ones (md5), and how they are downloaded
    formats              idx, cifar_batches, image_parquet, class_folders
    digits               embedded     shapeset     generated     image_folder     the user's own
    fingerprint          a hash of the content, remembered by the files' sizes and times
    encoded_images       image files and bytes, opened safely
    image_conversion     the one way from an opened image to uint8 pixels
    decoded_cache        decoded once into uint8 arrays that every process maps into memory
    data_quality         duplicates between splits, classes without images, pixels that are all dark
    splits               validation and subsets, cut with their own seed
    alterations          images and labels changed on purpose: pixels in another order, wrong labels
    images               `load_images`: all of the above, as an `ImageData`
    loader               `BatchLoader`: a batch is an index into the array
    augment              whole batches on their device
    datamodule           the same for Lightning

What is named here needs no torch; `loader`, `augment` and `datamodule` do, and are imported by name.
"""

from trainlab.data.dataset_sources import DatasetHandle, Decoded, Examples, Source, build_source
from trainlab.data.fingerprint import DataIdentity, identify_dataset
from trainlab.data.images import ImageData, Split, load_images

Found = DatasetHandle
"""The name under which it was released: sources in users' own projects may import it."""

__all__ = [
    "DataIdentity",
    "DatasetHandle",
    "Decoded",
    "Examples",
    "Found",
    "ImageData",
    "Source",
    "Split",
    "build_source",
    "identify_dataset",
    "load_images",
]
