"""The causes that the record of a run shows, or the forecast of one: what each means and what mends it."""

from trainlab.diagnosis.cause import Cause, by_name

RUN_CAUSES = by_name(
    Cause(
        "vanishing_gradient",
        "the gradient shrinks from layer to layer: what reaches the first layers cannot move them",
        code=(
            "nn.BatchNorm2d(channels)"
            "  # after each convolution; or nn.ReLU() with nn.init.kaiming_normal_(layer.weight)"
        ),
        remedies=("norm_layer=batchnorm", "activation=relu init=kaiming", "depth={half_depth}"),
    ),
    Cause(
        "exploding_gradient",
        "the gradient grows from layer to layer: a step that suits one layer throws another far off",
        code=(
            "nn.BatchNorm2d(channels)"
            "  # after each convolution; or clip_grad_norm_(model.parameters(), 1.0) before the step"
        ),
        remedies=("norm_layer=batchnorm", "trainer.gradient_clip=1.0", "init=kaiming"),
    ),
    Cause(
        "saturation",
        "most units sit on the flat tails of the activation, where hardly any gradient passes",
        code=(
            "nn.init.xavier_uniform_(layer.weight)  # smaller weights; or a norm layer before the activation"
        ),
        remedies=("norm_layer=batchnorm", "init=glorot", "normalization=standardize"),
    ),
    Cause(
        "dead_units",
        "most units give the same output for every image: they pass on nothing and get no gradient",
        code="nn.LeakyReLU(0.01)  # in the place of nn.ReLU(); or a learning rate ten times smaller",
        remedies=("activation=leaky_relu", "init=kaiming", "optimizer.lr={tenth_lr}"),
    ),
    Cause(
        "collapsed_correlation",
        "different images look the same to the deeper layers: nothing is left to tell them apart by",
        code="nn.BatchNorm2d(channels)  # after each layer; or nn.init.orthogonal_(layer.weight)",
        remedies=("norm_layer=batchnorm", "init=orthogonal", "depth={half_depth}"),
    ),
    Cause(
        "symmetric_weights",
        "units of a layer are copies of one another: they get the same gradient and stay copies",
        code="nn.init.kaiming_normal_(layer.weight)  # random, not all the same",
        remedies=("init=kaiming", "init=glorot"),
    ),
    Cause(
        "learning_rate_too_high",
        "each step overshoots: the loss jumps instead of falling",
        code='for group in optimizer.param_groups:\n    group["lr"] /= 10',
        remedies=("optimizer.lr={tenth_lr}", "trainer.gradient_clip=1.0"),
    ),
    Cause(
        "learning_rate_too_low",
        "the steps are so small that the weights hardly move within the run's budget",
        code='for group in optimizer.param_groups:\n    group["lr"] *= 10',
        remedies=(
            "optimizer.lr={higher_lr}",
            "trainer.max_epochs={more_epochs} trainer.max_steps={more_steps}",
        ),
    ),
    Cause(
        "input_out_of_scale",
        "the input is far from zero mean and unit scale: the first layer works outside its range",
        code="x = (x - mean) / std  # of each channel over the training images; bytes: x.float() / 255 first",
        remedies=("normalization=standardize",),
    ),
    Cause(
        "batchnorm_statistics_lag",
        "it learned in training mode, but BatchNorm's running statistics are not yet those of the data",
        code="nn.BatchNorm2d(channels, momentum=0.1)  # or train for more steps",
        remedies=(
            "norm_layer.layer.momentum={usual_momentum}",
            "norm_layer=layernorm",
            "trainer.max_epochs={more_epochs} trainer.max_steps={more_steps}",
        ),
    ),
    Cause(
        "batchnorm_frozen",
        "BatchNorm does not normalize: it is frozen at the statistics it was made with",
        code=(
            "model.train()"
            "  # before training, and no .eval() of BatchNorm layers that are trained from scratch"
        ),
    ),
    Cause(
        "softmax_before_loss",
        "the network ends in a softmax and the loss applies another, which flattens the gradient",
        code="return logits  # no softmax at the end: nn.CrossEntropyLoss applies log_softmax itself",
    ),
    Cause(
        "activation_after_last_layer",
        "an activation after the last layer cuts logits off: those at zero get no gradient",
        code="return self.head(x)  # no activation after the last layer",
    ),
    Cause(
        "layers_not_registered",
        "layers of the network are not among its parameters: nothing trains or saves them",
        code="self.layers = nn.ModuleList(layers)  # in the place of a plain list; then make the optimizer",
    ),
    Cause(
        "gradients_add_up",
        "the gradient is never set to zero: each step goes along the sum of all gradients so far",
        code="optimizer.zero_grad()  # before loss.backward(), in every step",
    ),
    Cause(
        "gradient_clip_too_small",
        "clipping cuts the gradient to a small part of its length: the steps are far too small",
        code="torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)",
        remedies=("trainer.gradient_clip=1.0",),
    ),
    Cause(
        "schedule_decays_too_early",
        "the schedule takes the learning rate away before the network has learned",
        code="scheduler.step()  # once an epoch; or give the scheduler its lengths in steps",
        remedies=("scheduler=constant",),
    ),
    Cause(
        "weight_decay_too_strong",
        "weight decay shrinks the weights faster than the gradient can build them up",
        code='for group in optimizer.param_groups:\n    group["weight_decay"] = 1e-4',
        remedies=("optimizer.weight_decay=0.0",),
    ),
    Cause(
        "batch_too_small",
        "the batch is too small: its gradient, or its BatchNorm statistics, are mostly noise",
        code=(
            "DataLoader(dataset, batch_size=128, shuffle=True)  # or nn.GroupNorm(8, channels) for BatchNorm"
        ),
        remedies=("data.batch_size=128", "norm_layer=layernorm"),
    ),
    Cause(
        "labels_unlearnable",
        "the labels do not follow from the images: reference models find no more in them than chance",
        code="plt.imshow(x[0]); plt.title(y[0])  # look at pairs: images and labels are listed in one order?",
    ),
    Cause(
        "test_classes_permuted",
        "the classes of the test images are numbered in another order than those of the training images",
        code="test_set.class_to_idx = train_set.class_to_idx  # one numbering of the classes for all splits",
    ),
    Cause(
        "test_images_in_training",
        "test images are among the training images: the test accuracy is memory",
        code=(
            "train_set, test_set = torch.utils.data.random_split(unique_images, [0.8, 0.2])"
            "  # before any copy"
        ),
    ),
    Cause(
        "rare_class",
        "a class is so rare among the training images that the network hardly ever answers it",
        code=(
            "nn.CrossEntropyLoss(weight=counts.sum() / (len(counts) * counts))  # or a WeightedRandomSampler"
        ),
    ),
    Cause(
        "image_axes_scrambled",
        "the images' axes were viewed in another order, not permuted: neighbouring pixels are torn apart",
        code="x = x_NHWC.permute(0, 3, 1, 2)  # not view or reshape",
    ),
    Cause(
        "overfitting",
        "the training images were learned by heart: what was learned does not carry over to others",
        code="train_set.transform = Compose([RandomCrop(size, padding=4), RandomHorizontalFlip()])",
        remedies=("augment=flip_crop",),
    ),
    Cause(
        "no_trainable_gradient",
        "no gradient reaches the weights: they are frozen, cut off, or all zero",
        code=(
            "for p in model.parameters():\n    p.requires_grad_(True)"
            "  # and no detach() between them and the loss"
        ),
        remedies=("init=kaiming",),
    ),
    Cause(
        "diverged",
        "the loss left all bounds",
        code='for group in optimizer.param_groups:\n    group["lr"] /= 10',
        remedies=("optimizer.lr={tenth_lr}", "trainer.gradient_clip=1.0", "norm_layer=batchnorm"),
    ),
    Cause(
        "too_few_steps",
        "it was on its way when the run ended: its loss falls, or images grow apart, to the last step",
        code="epochs *= 2",
        remedies=("trainer.max_epochs={more_epochs} trainer.max_steps={more_steps}",),
    ),
    Cause(
        "not_known",
        "why is not known: no fault shows in signal, gradient, steps or labels; a longer run would tell",
        code="epochs *= 2  # a longer run would tell",
        remedies=("trainer.max_epochs={more_epochs} trainer.max_steps={more_steps}",),
    ),
    Cause(
        "constant_input",
        "every image reaches the network as the same numbers: there is nothing to tell classes apart by",
        code="x = (x - mean) / std  # look at x.std(0): no pixel differs between the images",
    ),
    Cause(
        "one_class",
        "there is one class only: nothing can be better than always guessing it",
        code="y.unique()  # images of other classes are missing: look at how the labels are made",
    ),
)
"""What `trainlab explain` looks for, by name."""
