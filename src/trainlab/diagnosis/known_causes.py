"""The causes by name: what each means and what mends it; and a finding, one cause shown by one run.

Needs no torch. The same names stand in a run's record, in `trainlab explain`, in `trainlab preflight` and in
the table of runs that the forecast was fitted on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from trainlab.errors import unknown_name


@dataclass(frozen=True)
class Cause:
    """One cause: its name, one plain sentence, and the overrides that mend it, the first choice first.

    Overrides hold places that `suggest_remedy` fills from a run's own settings: {tenth_lr}, {higher_lr},
    {half_depth}, {usual_momentum}; {more_epochs}, {more_steps}: what the evidence asks for, or twice as many.
    """

    name: str
    sentence: str
    remedies: tuple[str, ...]


CAUSES = {
    cause.name: cause
    for cause in (
        Cause(
            "vanishing_gradient",
            "the gradient shrinks from layer to layer: what reaches the first layers cannot move them",
            ("norm_layer=batchnorm", "activation=relu init=kaiming", "depth={half_depth}"),
        ),
        Cause(
            "exploding_gradient",
            "the gradient grows from layer to layer: a step that suits one layer throws another far off",
            ("norm_layer=batchnorm", "trainer.gradient_clip=1.0", "init=kaiming"),
        ),
        Cause(
            "saturation",
            "most units sit on the flat tails of the activation, where hardly any gradient passes",
            ("norm_layer=batchnorm", "init=glorot", "normalization=standardize"),
        ),
        Cause(
            "dead_units",
            "most units give the same output for every image: they pass on nothing and get no gradient",
            ("activation=leaky_relu", "init=kaiming", "optimizer.lr={tenth_lr}"),
        ),
        Cause(
            "collapsed_correlation",
            "different images look the same to the deeper layers: nothing is left to tell them apart by",
            ("norm_layer=batchnorm", "init=orthogonal", "depth={half_depth}"),
        ),
        Cause(
            "symmetric_weights",
            "units of a layer are copies of one another: they get the same gradient and stay copies",
            ("init=kaiming", "init=glorot"),
        ),
        Cause(
            "learning_rate_too_high",
            "each step overshoots: the loss jumps instead of falling",
            ("optimizer.lr={tenth_lr}", "trainer.gradient_clip=1.0"),
        ),
        Cause(
            "learning_rate_too_low",
            "the steps are so small that the weights hardly move within the run's budget",
            ("optimizer.lr={higher_lr}", "trainer.max_epochs={more_epochs} trainer.max_steps={more_steps}"),
        ),
        Cause(
            "input_out_of_scale",
            "the input is far from zero mean and unit scale: the first layer works outside its range",
            ("normalization=standardize",),
        ),
        Cause(
            "batchnorm_statistics_lag",
            "it learned in training mode, but BatchNorm's running statistics are not yet those of the data",
            (
                "norm_layer.layer.momentum={usual_momentum}",
                "norm_layer=layernorm",
                "trainer.max_epochs={more_epochs} trainer.max_steps={more_steps}",
            ),
        ),
        Cause(
            "batchnorm_frozen",
            "BatchNorm does not normalize: it is frozen at the statistics it was made with",
            (),
        ),
        Cause(
            "softmax_before_loss",
            "the network ends in a softmax and the loss applies another, which flattens the gradient",
            (),
        ),
        Cause(
            "activation_after_last_layer",
            "an activation after the last layer cuts logits off: those at zero get no gradient",
            (),
        ),
        Cause(
            "layers_not_registered",
            "layers of the network are not among its parameters: nothing trains or saves them",
            (),
        ),
        Cause(
            "gradients_add_up",
            "the gradient is never set to zero: each step goes along the sum of all gradients so far",
            (),
        ),
        Cause(
            "gradient_clip_too_small",
            "clipping cuts the gradient to a small part of its length: the steps are far too small",
            ("trainer.gradient_clip=1.0",),
        ),
        Cause(
            "schedule_decays_too_early",
            "the schedule takes the learning rate away before the network has learned",
            ("scheduler=constant",),
        ),
        Cause(
            "weight_decay_too_strong",
            "weight decay shrinks the weights faster than the gradient can build them up",
            ("optimizer.weight_decay=0.0",),
        ),
        Cause(
            "batch_too_small",
            "the batch is too small: its gradient, or its BatchNorm statistics, are mostly noise",
            ("data.batch_size=128", "norm_layer=layernorm"),
        ),
        Cause(
            "labels_unlearnable",
            "the labels do not follow from the images: reference models find no more in them than chance",
            (),
        ),
        Cause(
            "test_classes_permuted",
            "the classes of the test images are numbered in another order than those of the training images",
            (),
        ),
        Cause(
            "test_images_in_training",
            "test images are among the training images: the test accuracy is memory",
            (),
        ),
        Cause(
            "rare_class",
            "a class is so rare among the training images that the network hardly ever answers it",
            (),
        ),
        Cause(
            "image_axes_scrambled",
            "the images' axes were viewed in another order, not permuted: neighbouring pixels are torn apart",
            (),
        ),
        Cause(
            "overfitting",
            "the training images were learned by heart: what was learned does not carry over to others",
            ("augment=flip_crop",),
        ),
        Cause(
            "no_trainable_gradient",
            "no gradient reaches the weights: they are frozen, cut off, or all zero",
            ("init=kaiming",),
        ),
        Cause(
            "diverged",
            "the loss left all bounds",
            ("optimizer.lr={tenth_lr}", "trainer.gradient_clip=1.0", "norm_layer=batchnorm"),
        ),
        Cause(
            "too_few_steps",
            "it was on its way when the run ended: its loss falls, or images grow apart, to the last step",
            ("trainer.max_epochs={more_epochs} trainer.max_steps={more_steps}",),
        ),
        Cause(
            "not_known",
            "why is not known: no fault shows in signal, gradient, steps or labels; a longer run would tell",
            ("trainer.max_epochs={more_epochs} trainer.max_steps={more_steps}",),
        ),
        Cause(
            "constant_input",
            "every image reaches the network as the same numbers: there is nothing to tell classes apart by",
            (),
        ),
        Cause(
            "one_class",
            "there is one class only: nothing can be better than always guessing it",
            (),
        ),
    )
}
"""All causes by name."""


def find_cause(name: str) -> Cause:
    """The cause of this name. Raises RequestError with the closest one."""
    if name not in CAUSES:
        raise unknown_name("cause", name, list(CAUSES))
    return CAUSES[name]


@dataclass(frozen=True)
class Finding:
    """A cause that the evidence shows. `description` is the evidence in words, `numbers` by quantity.

    `since_step` is the first measured step from which on it holds to the end; None where it has no step.
    """

    cause: str
    description: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    layer: str | None = None
    since_step: int | None = None
