"""Why a network does not learn: the causes by name, what each means, and what mends it. Needs no torch.

The same names stand in a run's record, in `trainlab explain`, in `trainlab preflight` and in the table of
runs that the forecast was fitted on.
"""

from dataclasses import dataclass

from trainlab.errors import unknown


@dataclass(frozen=True)
class Cause:
    """One cause: its name, one plain sentence, and the overrides that mend it, the first choice first.

    Overrides hold places that `remedy` fills from a run's own settings: {tenth_lr}, {ten_lr}, {half_depth},
    {twice_epochs}, {twice_steps}.
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
            ("optimizer.lr={ten_lr}", "trainer.max_epochs={twice_epochs} trainer.max_steps={twice_steps}"),
        ),
        Cause(
            "input_out_of_scale",
            "the input is far from zero mean and unit scale: the first layer works outside its range",
            ("normalization=standardize",),
        ),
        Cause(
            "batchnorm_statistics_lag",
            "it learned in training mode, but BatchNorm's running statistics are not yet those of the data",
            ("norm_layer=layernorm", "trainer.max_epochs={twice_epochs} trainer.max_steps={twice_steps}"),
        ),
        Cause(
            "batch_too_small",
            "the batch is too small: its gradient, or its BatchNorm statistics, are mostly noise",
            ("data.batch_size=128", "norm_layer=layernorm"),
        ),
        Cause(
            "labels_unlearnable",
            "signal and gradient are sound, but the labels do not follow from the images",
            (),
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
            "no fault shows in signal, gradient or steps: the run ended before it was better than guessing",
            ("trainer.max_epochs={twice_epochs} trainer.max_steps={twice_steps}",),
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


def cause(name: str) -> Cause:
    """The cause of this name. Raises RequestError with the closest one."""
    if name not in CAUSES:
        raise unknown("cause", name, list(CAUSES))
    return CAUSES[name]
