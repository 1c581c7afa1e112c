"""The named pictures that a claim may show below its figure (`pictures:` in its file), and what each shows.

Most are drawn from the data or the network alone, and are the same for every claim that shows them.
"""

PICTURES = {
    "kernel_on_a_7": "A kernel from the inner curve of a 7, and where it responds, before and after ReLU",
    "pooling_2x2": "2 × 2 max and mean pooling of a part of a feature map, with the numbers",
    "edges_to_parts": "The parts of images to which each layer of a trained network responds most",
    "vgg16_blocks": "VGG-16, block by block: maps, size, parameters",
    "normalization_images": "X and aX + b, before and after normalization",
    "batchnorm_planes": "BatchNorm's algorithm on planes of two images, with the numbers",
}
PICTURES_OF_RUNS = {"edges_to_parts"}
"""Those that need a trained network: the last arm of the figure, its first seed."""
