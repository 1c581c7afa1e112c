"""The causes that lie in what a loader gives: images, labels, their order, and how the splits differ.

They are seen from batches alone: by `trainlab.check_data`, and those of one batch by `trainlab.check`.
"""

from trainlab.diagnosis.cause import Cause, by_name

DATA_CAUSES = by_name(
    Cause(
        "labels_out_of_range",
        "labels lie outside of 0 … K − 1, where K is the number of the network's outputs",
        code=(
            "y = torch.searchsorted(y.unique(), y)"
            "  # classes numbered 0 … K − 1; or nn.Linear(features, classes)"
        ),
    ),
    Cause(
        "labels_off_by_one",
        "the labels count from 1, and the outputs of the network from 0",
        code="y = y - 1",
    ),
    Cause(
        "labels_wrong_type",
        "the labels have a type or a shape that the loss does not take",
        code=(
            "y = y.long()"
            "  # classes 0 … K − 1 as int64 of shape (N,); one-hot: y.argmax(1); (N, 1): y.squeeze(1)"
        ),
    ),
    Cause(
        "input_wrong_type",
        "the images have another type than the network's weights",
        code="x = x.float() / 255  # bytes; float64: x.float()",
    ),
    Cause(
        "input_wrong_shape",
        "the images have a shape that the network does not take",
        code="x = x.unsqueeze(1)  # (N, H, W) to (N, 1, H, W)",
    ),
    Cause(
        "channels_last",
        "the channels stand last, (N, H, W, C), where torch takes (N, C, H, W)",
        code="x = x.permute(0, 3, 1, 2)",
    ),
    Cause(
        "input_not_finite",
        "images hold NaN or infinity",
        code=(
            "keep = x.flatten(1).isfinite().all(1)\nx, y = x[keep], y[keep]"
            "  # and look at where they come from"
        ),
    ),
    Cause(
        "blank_images",
        "images of one value throughout: there is nothing on them",
        code="keep = x.flatten(1).std(1) > 0\nx, y = x[keep], y[keep]  # and look at how they are read",
    ),
    Cause(
        "data_not_shuffled",
        "batches hold few classes at a time: the data are sorted, each batch pulls to its own classes",
        code="DataLoader(dataset, batch_size=64, shuffle=True)",
    ),
    Cause(
        "batches_identical",
        "all batches are the same images: the network sees one batch only",
        code="for x, y in loader:  # not next(iter(loader)) in every step\n    train_step(x, y)",
    ),
    Cause(
        "batch_repeated",
        "an epoch holds the same batch more than once, in the place of others",
        code="DataLoader(dataset, batch_size=64, shuffle=True)  # without a sampler that repeats",
    ),
    Cause(
        "class_missing",
        "a class has no training images: it can never be answered rightly",
        code="train_set, test_set = random_split(shuffled, [0.8, 0.2])  # a split that holds all classes",
    ),
    Cause(
        "test_normalized_differently",
        "the test images have another scale than the training images: they were prepared in another way",
        code="test_set.transform = Normalize(mean, std)  # the same mean and std as in training",
    ),
    Cause(
        "conflicting_labels",
        "the same image stands in the training data with different labels",
        code="y = labels[image_id]  # one label an image: look at the pairs that differ",
    ),
)
"""What is looked for in batches and loaders of one's own, by name; and see RUN_CAUSES for the others."""
