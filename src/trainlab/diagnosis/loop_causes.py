"""The causes that lie in how a network, its loss, its optimizer and its loop are put together.

They are seen from a step or a few: by `trainlab.check`, and by `trainlab.watch` in the loop itself.
"""

from trainlab.diagnosis.cause import Cause, by_name

LOOP_CAUSES = by_name(
    Cause(
        "parameters_not_in_optimizer",
        "parameters that could be trained are not in the optimizer: no step changes them",
        code=(
            "optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)"
            "  # made after the last change of the model"
        ),
    ),
    Cause(
        "optimizer_of_other_model",
        "the optimizer holds the parameters of another network: its steps never change this one",
        code="optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)  # of the model that is trained",
    ),
    Cause(
        "parameters_without_gradient",
        "a part of the trainable parameters gets no gradient: the loss does not depend on them",
        code=(
            "return self.head(self.features(x))"
            "  # pass through every layer; no detach(), numpy() or no_grad() between"
        ),
    ),
    Cause(
        "parameters_never_change",
        "the optimizer steps, and parameters that have a gradient stay what they were to the bit",
        code=(
            "model.float()"
            "  # steps are smaller than half precision can tell: keep the weights in float32, use autocast"
        ),
    ),
    Cause(
        "no_backward",
        "the optimizer steps without a gradient: loss.backward() was not called",
        code="loss.backward()  # between optimizer.zero_grad() and optimizer.step()",
    ),
    Cause(
        "no_optimizer_step",
        "gradients are computed and the optimizer never steps: no weight changes",
        code="optimizer.step()  # after loss.backward(), in every step",
    ),
    Cause(
        "loss_detached",
        "the loss is cut off from the network: no gradient can flow back",
        code=(
            "loss = criterion(model(x), y)"
            "  # no detach(), item(), numpy() or argmax() on the way from output to loss"
        ),
    ),
    Cause(
        "gradients_disabled",
        "gradients are switched off: nothing that is computed can be trained",
        code="torch.set_grad_enabled(True)  # torch.no_grad() only around the evaluation",
    ),
    Cause(
        "frozen_at_initialization",
        "frozen layers still have the random weights that they were made with: they can never learn anything",
        code=(
            "for p in model.parameters():\n    p.requires_grad_(True)  # freeze only what has been pretrained"
        ),
    ),
    Cause(
        "frozen_batchnorm_moves",
        "layers are frozen, but their BatchNorm goes on following the batches: what is frozen changes",
        code="frozen_part.eval()  # after every model.train()",
    ),
    Cause(
        "eval_mode_in_training",
        "the network trains in evaluation mode: dropout is off, BatchNorm does not normalize by the batch",
        code="model.train()  # at the start of each epoch, after the evaluation",
    ),
    Cause(
        "sigmoid_before_loss",
        "the outputs go through a sigmoid and the loss takes them for logits, which flattens the gradient",
        code="return self.head(x)  # no sigmoid at the end: the loss applies its own",
    ),
    Cause(
        "softmax_over_batch",
        "the softmax runs over the images of the batch and not over the classes",
        code="F.log_softmax(x, dim=1)  # not dim=0",
    ),
    Cause(
        "nll_without_log_softmax",
        "the loss is the negative log-likelihood, and the outputs are no log-probabilities",
        code=(
            "criterion = nn.CrossEntropyLoss()  # takes logits; nn.NLLLoss takes F.log_softmax(logits, dim=1)"
        ),
    ),
    Cause(
        "one_output_unit",
        (
            "the network has a single output and the loss is a softmax cross-entropy: the loss is 0 "
            "whatever it learns"
        ),
        code=(
            "nn.Linear(features, 2)"
            "  # one output a class; or nn.BCEWithLogitsLoss()(logits.squeeze(1), y.float())"
        ),
    ),
    Cause(
        "regression_on_class_numbers",
        "the loss compares outputs with the numbers of the classes, as if class 8 were twice class 4",
        code="criterion = nn.CrossEntropyLoss()  # not nn.MSELoss, for classes",
    ),
    Cause(
        "loss_broadcasts",
        "outputs and targets differ in shape, and the loss compares every output with every target",
        code="loss = criterion(model(x).squeeze(1), y)  # (N,) with (N,)",
    ),
    Cause(
        "loss_averaged_twice",
        "the loss falls with the size of the batch: a mean is divided by the number of images again",
        code="loss = criterion(model(x), y)  # reduction='mean' divides already: no / len(x)",
    ),
    Cause(
        "loss_out_of_scale",
        "the loss is multiplied by a factor that makes its gradient far too small or too large",
        code=(
            "loss = criterion(model(x), y)"
            "  # without the factor; or scaler.unscale_(optimizer) before clipping"
        ),
    ),
    Cause(
        "loss_not_finite",
        "the loss or its gradient is not a finite number from the first step on",
        code=(
            "loss = F.cross_entropy(logits, y)  # not log(softmax(logits)); inputs and weights of unit scale"
        ),
    ),
    Cause(
        "learning_rate_zero",
        "the learning rate is zero: no step changes anything",
        code='for group in optimizer.param_groups:\n    group["lr"] = 1e-3',
    ),
    Cause(
        "dropout_leaves_nothing",
        "dropout sets nearly all units to zero: hardly any signal is left",
        code="nn.Dropout(p=0.5)  # p is the share that is dropped, not the share that is kept",
    ),
    Cause(
        "batchnorm_of_one_image",
        "BatchNorm normalizes single values or single images: each is compared with itself alone",
        code=(
            "DataLoader(dataset, batch_size=64, shuffle=True, drop_last=True)  # or nn.GroupNorm(8, channels)"
        ),
    ),
    Cause(
        "step_fails",
        "the training step raises an error: it cannot be run as it is",
        code="criterion(model(x), y).backward()  # run this on one batch, and mend what it says",
    ),
)
"""What is looked for in a network, loss, optimizer and loop of one's own, by name; and see RUN_CAUSES."""
