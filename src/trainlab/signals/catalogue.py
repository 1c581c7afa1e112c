"""The quantities in `signals.parquet`, by name, for figures, verdicts and claims. Needs no torch.

A row is (step, layer, quantity, value). Step s sees the weights after s updates and batch s, as training
sees them (dropout on, BatchNorm on the batch). `layer` is the name of a weight layer in the network, or
NETWORK. The pre-activation z is what enters the activation module that follows the layer (after BatchNorm,
after a residual sum); of a layer without activation it is the layer's own output. The activation a is what
leaves the activation module. Gradients are those of the batch's mean loss, as they are propagated back.
A value that is not finite was measured so; a quantity that does not apply has no row (of a layer with one
unit, unit_spread).
"""

NETWORK = "network"
"""The `layer` of what belongs to the network as a whole."""

QUANTILE_LEVELS = {"q05": 0.05, "q25": 0.25, "q50": 0.50, "q75": 0.75, "q95": 0.95}
"""Quantiles, by the name that ends the quantity."""

LAYER_QUANTITIES = {
    "preactivation_mean": "mean of z",
    "preactivation_std": "standard deviation of z",
    **{f"preactivation_{q}": f"{level:.0%} quantile of z" for q, level in QUANTILE_LEVELS.items()},
    "activation_mean": "mean of a",
    "activation_std": "standard deviation of a",
    **{f"activation_{q}": f"{level:.0%} quantile of a" for q, level in QUANTILE_LEVELS.items()},
    "saturated": "fraction 0..1 of z on the flat tails of the activation",
    "dead": "fraction 0..1 of units whose activation is the same for all images and positions",
    "correlation": "mean cosine −1..1 between the z of different images; 1: all inputs look the same",
    "preactivation_grad_norm": "norm of ∂loss/∂z over the batch",
    "preactivation_grad_rms": "root mean square of ∂loss/∂z",
    "activation_grad_norm": "norm of ∂loss/∂a over the batch",
    "activation_grad_rms": "root mean square of ∂loss/∂a",
    "weight_grad_norm": "norm of ∂loss/∂w, before clipping",
    "weight_grad_rms": "root mean square of ∂loss/∂w, before clipping",
    "weight_norm": "norm of w, before the update",
    "update_ratio": "‖Δw‖/‖w‖ of the step's update",
    "unit_spread": "fraction 0..1 of w that differs between the layer's units; 0: all are copies",
    "trainable": "1 where w may be trained, 0 where it is frozen (requires_grad=False)",
}
"""What is measured of a layer, with its description."""

NETWORK_QUANTITIES = {
    "loss": "mean loss of the batch, in nats",
    "noise_scale": "gradient noise tr Σ / |G|² of the output layer, in images",
    "majority_share": "fraction 0..1 of the batch predicted as its most predicted class",
    "input_mean": "mean of the network's input, which the input normalization gives",
    "input_std": "standard deviation of the network's input",
    "input_correlation": "mean cosine −1..1 between the inputs of different images; 1: all are the same",
    "outputs_probabilities": "fraction 0..1 of images whose outputs are ≥ 0 and sum to 1",
    "outputs_negative": "fraction 0..1 of outputs below zero",
    "outputs_zero": "fraction 0..1 of outputs that are exactly zero",
}
"""What is measured of the network, with its description."""

LOOP_QUANTITIES = {
    "learning_rate": "the optimizer's rate at this step (of its first group)",
    "gradient_left_over": "what the last layer's gradient held before the backward pass, over what it added",
    "unregistered_layers": "layers with weights that ran inside the network and are no part of it",
    "batchnorm_frozen": "fraction 0..1 of the BatchNorm layers in evaluation mode at their first statistics",
    "neighbours": "correlation −1..1 of a pixel with the one below it, images of several channels",
    "neighbours_reordered": "the same with the axes in the order (N, H, W, C), or the other way round",
    "probe_images": "images of the batch that the probe of its labels classified (leave one out)",
    "probe_accuracy": "fraction 0..1 of them that it classified rightly from the others",
    "probe_permuted": "the same with the labels permuted among the images: what chance gives",
}
"""How the network is wired and fed; belongs to the network, and has a row only where it applies."""

WATCHED_QUANTITIES = {
    "as_drawn": "of a frozen layer: 1 where w looks as an initializer draws it, 0 where it was trained",
    "gradient_carried": "1 where the step's gradient held that of an earlier step, not set to zero; else 0",
    "gradient_missing": "0; 1: no backward pass, 2: zeroed after it, 3: the loss is not of this network",
    "gradient_kept": "norm of the gradient when the optimizer begins, over that after the backward pass",
    "parameters_outside": "fraction 0..1 of the trainable numbers with a gradient that no optimizer changes",
    "parameters_unreached": "fraction 0..1 of the trainable numbers without a gradient",
    "parameters_unchanged": "fraction 0..1 of the parameters with a gradient that the step did not change",
    "optimizer_strangers": "parameters in the optimizer that are none of the network's, without a gradient",
    "network_called": "1 where the network was called in the step, 0 where another was",
    "eval_mode": "1 in evaluation mode; 0.5 if BatchNorm then has statistics of its own; 0 in training mode",
    "dropout": "largest share that a dropout layer drops",
    "frozen_batchnorm_moves": "fraction 0..1 of the frozen BatchNorm layers whose statistics go on moving",
    "same_batch": "1 where the batch is that of the last measured step, else 0",
    "loss_cross_entropy": "1 where the loss is a softmax cross-entropy of the outputs, 0 for another",
    "output_units": "outputs of the network that the cross-entropy compares",
    "batch_accuracy": "fraction 0..1 of the batch whose label has the largest output",
    "softmax_over_batch": "1 where the softmax of the loss runs over the images",
    "outputs_not_normalized": "1 where a negative log-likelihood is not taken of log-probabilities",
    "sigmoid_before_loss": "1 where all outputs of a cross-entropy of logits lie between 0 and 1",
}
"""What a loop of one's own does with its network (`trainlab.watch`); the same."""
