"""The corrections, in the order of the notes: what they say, what is so, command, lesson and figure."""

from dataclasses import dataclass

ANATOMY_OF_VGG = "trainlab anatomy model=vgg depth=16 data=cifar10 data.image_size=224 data.num_classes=1000"
ANATOMY_OF_LENET = "trainlab anatomy model=lenet5 data=mnist"


@dataclass(frozen=True)
class Correction:
    """One sentence of the notes and what is wrong with it.

    said: the sentence, in English. so: what is so, for a student; `{name}` is a number of `facts`.
    command: what shows it. lesson: the claim that measures it; None where the command alone shows it.
    figure: a file in the folder of the claims.
    """

    title: str
    said: str
    so: str
    command: str
    lesson: str | None = None
    figure: str | None = None


CORRECTIONS = (
    Correction(
        "Many parameters are not what overfits",
        "With so many parameters a model is easily overfitted.",
        "Overfitting is a large gap between the accuracy on training images and on new ones. A wider "
        "network has more parameters, and on a few hundred digits its gap does not grow with its width: "
        "very narrow networks cannot even fit the training images, and beyond that more width reads new "
        "digits better, not worse. What helps a convolution against a dense layer is that it looks at "
        "neighbouring pixels and uses the same weights everywhere, not that it counts fewer of them.",
        "trainlab claims run many-parameters-overfit",
        "many-parameters-overfit",
        "many-parameters-overfit/figure.svg",
    ),
    Correction(
        "VGG's images have 224 × 224 pixels, not 244 × 244",
        "conv2d(3, 64, 244), an image of 244 × 244.",
        "224 = 7 · 2⁵: five poolings halve it to {sizes_224}, and nothing is left over. From 244 they give "
        "{sizes_244}: twice a row and a column are cut off. The number of parameters is {vgg_parameters} "
        "both times, since a convolution has the same weights at any size and the last maps have 7 × 7 "
        "values either way; the multiply-adds of one image are {vgg_224_multiply_adds} against "
        "{vgg_244_multiply_adds}.",
        ANATOMY_OF_VGG,
        "vgg16-anatomy",
        "vgg16-anatomy/vgg16_blocks.svg",
    ),
    Correction(
        "The third argument of Conv2d is the kernel's size, not the image's",
        "Each Conv2d has the parameters (input_channel, output_channel, image_size).",
        "`Conv2d(3, 64, 3)` has 64 kernels of 3 × 3 × 3 weights and 64 biases: {kernel_3} parameters, for an "
        "image of any size. `Conv2d(3, 64, 224)` is a convolution whose kernel is as large as the image: "
        "{kernel_224} parameters, and it can stand in one place only.",
        'python -c "from torch import nn; print([sum(p.numel() for p in nn.Conv2d(3, 64, k).parameters()) '
        'for k in (3, 224)])"',
        "vgg16-anatomy",
        "vgg16-anatomy/figure.svg",
    ),
    Correction(
        "A channel is a map, and only in the image itself a colour",
        "Each channel stands for one kind of colour of the image.",
        "That is so of the input's three channels. After the first convolution VGG-16 has {first_maps} "
        "channels, in its last block {last_maps}: each is a map of where one kernel responds.",
        ANATOMY_OF_VGG,
        "shared-weights-see-shifted-digits",
        "shared-weights-see-shifted-digits/kernel_on_a_7.svg",
    ),
    Correction(
        "A 2 × 2 pooling leaves a quarter of the pixels, not half",
        "Max pooling only halves the number of pixels.",
        "It halves height and width: {before_pooling} values of a map become {after_pooling}, which is "
        "{pooled_share}. The number of maps stays; VGG doubles it after each of the first three, and "
        "does so on purpose: a layer then has half as many values to pass on, not a quarter.",
        ANATOMY_OF_LENET,
        "pooling-forgives-small-shifts",
        "pooling-forgives-small-shifts/pooling_2x2.svg",
    ),
    Correction(
        "ReLU learns CIFAR-10; it is with depth that the initializer has to fit it",
        "Sigmoid fits CIFAR-10. ReLU does not fit the CIFAR-10 dataset, but fits Kaiming He.",
        "An activation does not fit or miss a data set. Of the same network of eight convolutions on the "
        "same photographs ReLU learns with either initializer, sigmoid with neither. What an activation "
        "has to fit is the scale of the first weights: ReLU sets half of its inputs to zero, so that "
        "weights of Glorot's variance lose a factor √2 of the signal at every layer; Kaiming's variance "
        "is twice as large and keeps it. That decides only where layers are many: of [20 "
        "layers](kaiming-restores-it/README.md) trained with SGD, Glorot's do not learn and Kaiming's do.",
        "trainlab claims run relu-cures-vanishing",
        "relu-cures-vanishing",
        "relu-cures-vanishing/figure.svg",
    ),
    Correction(
        "Glorot's initializer is not the sigmoid's",
        "One has to know which initializer goes with which activation: sigmoid with Glorot, ReLU with "
        "Kaiming.",
        "Glorot's rule is for functions of slope 1 at zero and mean zero, like tanh. The sigmoid's slope "
        "is at most 1/4, and its mean one half: it wants larger weights, and does better with Kaiming's "
        "than with Glorot's. In a network of two layers it gains more by that than ReLU does, against the "
        "sentence.",
        "trainlab claims run activation-needs-its-initializer",
        "activation-needs-its-initializer",
        "activation-needs-its-initializer/figure.svg",
    ),
    Correction(
        "Glorot does not stop every deep ReLU network: its biases do their part",
        "Using Glorot's initialization and many improvements, the network does not learn again.",
        "With plain SGD that is so. Adam divides a gradient by its own size, and would repair the scale of "
        "the weights; but it also moves a bias that starts at zero by its rate at every step, however small "
        "the gradient. After 24 layers of Glorot's weights the signal is about 2⁻¹² of what it was, and less "
        "where zero padding takes some too; beside that the biases are everything, and all images become "
        "one to the last layer. Without biases (`model.bias=false`) Adam can train the same network.",
        "trainlab claims run adam-moves-biases-by-its-rate",
        "adam-moves-biases-by-its-rate",
        "adam-moves-biases-by-its-rate/figure.svg",
    ),
    Correction(
        "Normalization removes brightness and contrast, not blur",
        "A machine that sees a blurred dog sees another dog; normalization makes it the same dog.",
        "Normalization undoes Y = aX + b: a paler or a brighter image, as long as no pixel is cut off at "
        "black or white. A blurred image is no aX + b: each pixel is mixed with its neighbours, and no two "
        "numbers for the whole image bring them apart again.",
        "trainlab claims run normalization-removes-brightness-and-contrast",
        "normalization-removes-brightness-and-contrast",
        "normalization-removes-brightness-and-contrast/normalization_images.svg",
    ),
    Correction(
        "Pictures at one rate show two things at once: the mean, and the scale times the rate",
        "Bring the mean to 0: the model trains better; other methods work too, not as well.",
        "Methods of normalization differ in the mean of what goes in and in its scale, and a larger input "
        "is a larger step. At one rate a smaller scale costs accuracy, most of which comes back when the "
        "rate is chosen for each. A mean of zero gains some points of accuracy on photographs, and those "
        "stay: the notes are right about the mean, and a comparison at one rate overstates the rest.",
        "trainlab claims run input-normalization",
        "input-normalization",
        "input-normalization/figure.svg",
    ),
    Correction(
        "BatchNorm has one mean a channel, over the planes of all images of the batch",
        "Each plane is one computation of a mean.",
        "A channel has one plane an image; its mean and variance are taken over all of them together, N·H·W "
        "values (a mean for each plane of each image is instance normalization). The C channels have C "
        "means, C variances, and 2C parameters, γ and β: of 64 channels {batchnorm_parameters}.",
        'python -c "from torch import nn; print(sum(p.numel() for p in nn.BatchNorm2d(64).parameters()))"',
        "batchnorm-by-hand",
        "batchnorm-by-hand/batchnorm_planes.svg",
    ),
    Correction(
        "What turns 28 into 14 is the pooling S2, not C1",
        "C1 has output 14, input 28, kernel size 2, padding 0, so stride 2.",
        "The numbers are right and belong to S2, a pooling of 2 × 2 with stride 2: (28 − 2)/2 + 1 = 14. C1 "
        "is the convolution before it, of 5 × 5 with padding 2: (28 + 4 − 5)/1 + 1 = 28, so that its "
        "{c1_shape} maps are as large as the image. The stride is chosen; that it equals the kernel holds "
        "for poolings without overlap, and not in general: C1's kernel is 5, its stride 1.",
        ANATOMY_OF_LENET,
        "lenet5-anatomy",
        "lenet5-anatomy/figure.svg",
    ),
    Correction(
        "MNIST's standard deviation is 0.31, not 0.38",
        "Default values 0.13, 0.38, to be used for inference.",
        "The mean of all training pixels, in units of 0 to 1, is {mnist_mean}, as the notes have it; the "
        "standard deviation is {mnist_std}. At inference the numbers must be those of the training: trainlab "
        "keeps them inside the saved model. This slip costs nothing that can be measured; others do.",
        'python -c "from trainlab.data import load_images; d = load_images(\'mnist\', \'data\', \'.cache\'); '
        'print(d.mean_C, d.std_C)"',
        "wrong-statistics-at-inference",
        "wrong-statistics-at-inference/figure.svg",
    ),
)  # fmt: skip


FIGURES = (
    ("a kernel on the inner curve of a 7, with its responses", "receptive-field-and-relu/kernel_on_a_7.svg"),
    ("2 × 2 max and mean pooling, with the numbers", "pooling-forgives-small-shifts/pooling_2x2.svg"),
    ("from edges to parts, by depth", "features-layer-by-layer/edges_to_parts.svg"),
    ("VGG-16, block by block", "vgg16-anatomy/vgg16_blocks.svg"),
    ("more blocks: training and validation", "more-blocks-help-cifar/figure-2.svg"),
    ("many layers with sigmoid: training and validation", "deep-sigmoid-vanishes/figure-2.svg"),
    ("the same with ReLU", "relu-cures-vanishing/figure-2.svg"),
    ("Glorot's initializer does not learn again, and its repair", "kaiming-restores-it/figure-2.svg"),
    ("works on MNIST, not on CIFAR-10, and the repair", "one-setting-two-data-sets/figure-2.svg"),
    ("X and aX + b, before and after normalization",
     "normalization-removes-brightness-and-contrast/normalization_images.svg"),
    ("BatchNorm's algorithm, one mean a channel", "batchnorm-by-hand/batchnorm_planes.svg"),
    ("cannot train, and with BatchNorm, on CIFAR-10", "batchnorm-makes-it-trainable/figure-2.svg"),
    ("LeNet-5, layer by layer", "lenet5-anatomy/figure.svg"),
)  # fmt: skip
"""The notes' figures that can be named, and where ours stand, drawn from data and recorded runs."""
