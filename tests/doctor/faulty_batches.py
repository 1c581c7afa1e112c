"""Faults between a network and what it is given: outputs and loss, labels, images; each broken or mended."""

import torch
import torch.nn.functional as F
from faults import Cut, FaultTable, coloured, ending
from small_networks import Loop, classes, convolutions, mlp, pictures
from torch import nn

FAULTS: FaultTable[Loop] = FaultTable()
fault = FAULTS.of


# outputs and loss


@fault("softmax_before_loss")
def softmax_module(broken):
    return coloured(ending(nn.Softmax(dim=1) if broken else None))


@fault("softmax_before_loss")
def softmax_by_hand(broken):
    by_hand = lambda z: z.exp() / z.exp().sum(1, keepdim=True)  # noqa: E731
    return coloured(
        Cut(lambda h: h, by_hand if broken else (lambda z: z)), nn.CrossEntropyLoss(label_smoothing=0.1)
    )


@fault("softmax_before_loss")
def softmax_of_a_segmentation(broken):
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 1)]
    x = pictures(4)
    y = (x[:, 0] > 0).long() + 2 * (x[:, 1] > 0).long()
    return Loop(nn.Sequential(*layers, *([nn.Softmax(dim=1)] if broken else [])), F.cross_entropy, (x, y))


@fault("sigmoid_before_loss")
def sigmoid_and_cross_entropy(broken):
    return coloured(ending(nn.Sigmoid() if broken else None))


@fault("sigmoid_before_loss")
def sigmoid_and_binary_cross_entropy_of_logits(broken):
    x = torch.randn(32, 8)
    layers = [nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1)]
    model = nn.Sequential(*layers, *([nn.Sigmoid()] if broken else []), nn.Flatten(0))
    return Loop(model, F.binary_cross_entropy_with_logits, (x, (x[:, 0] > 0).float()))


@fault("activation_after_last_layer")
def relu_after_the_last_layer(broken):
    return coloured(ending(nn.ReLU() if broken else None))


@fault("activation_after_last_layer")
def tanh_after_the_last_layer(broken):
    return coloured(Cut(lambda h: h, torch.tanh if broken else (lambda z: z)))


@fault("activation_after_last_layer")
def clamped_at_zero(broken):
    return coloured(Cut(lambda h: h, (lambda z: z.clamp(min=0)) if broken else (lambda z: z)))


@fault("softmax_over_batch")
def softmax_over_the_images(broken):
    return coloured(ending(nn.LogSoftmax(dim=0 if broken else 1)), nn.NLLLoss())


@fault("softmax_over_batch")
def softmax_over_the_images_before_cross_entropy(broken):
    return coloured(ending(nn.Softmax(dim=0) if broken else None))


@fault("nll_without_log_softmax")
def likelihood_of_logits(broken):
    return coloured(ending(None if broken else nn.LogSoftmax(dim=1)), nn.NLLLoss())


@fault("nll_without_log_softmax")
def likelihood_of_probabilities(broken):
    return coloured(ending(nn.Softmax(dim=1) if broken else nn.LogSoftmax(dim=1)), F.nll_loss)


@fault("one_output_unit")
def one_unit_and_cross_entropy(broken):
    y = torch.zeros(32, dtype=torch.int64) if broken else classes(k=2)
    return coloured(mlp(3 * 256, 1 if broken else 2), y=y)


@fault("one_output_unit")
def one_unit_and_two_classes(broken):
    return coloured(mlp(3 * 256, 1 if broken else 2), y=classes(k=2))


@fault("regression_on_class_numbers")
def squared_error_of_class_numbers(broken):
    model = nn.Sequential(mlp(3 * 256, 1), nn.Flatten(0)) if broken else mlp(3 * 256, 4)
    y = classes(k=4)
    return coloured(model, nn.MSELoss() if broken else F.cross_entropy, y=y.float() if broken else y)


@fault("loss_broadcasts")
def a_column_and_a_row(broken):
    y = torch.randn(32)
    return coloured(mlp(3 * 256, 1), nn.MSELoss(), y=y if broken else y[:, None])


@fault("loss_averaged_twice")
def divided_by_the_batch_again(broken):
    return coloured(
        mlp(3 * 256), (lambda z, y: F.cross_entropy(z, y) / len(y)) if broken else F.cross_entropy
    )


@fault("loss_out_of_scale")
def a_thousandth_of_the_loss(broken):
    return coloured(mlp(3 * 256), (lambda z, y: 1e-3 * F.cross_entropy(z, y)) if broken else F.cross_entropy)


@fault("loss_not_finite")
def log_of_softmax(broken):
    by_hand = lambda z, y: -(200 * z).softmax(1).log().gather(1, y[:, None]).mean()  # noqa: E731
    return coloured(mlp(3 * 256), by_hand if broken else F.cross_entropy, x=pictures() * 3)


# labels


@fault("labels_off_by_one")
def labels_from_one(broken):
    return coloured(mlp(3 * 256), y=classes() + 1 if broken else classes())


@fault("labels_out_of_range")
def more_classes_than_outputs(broken):
    return coloured(mlp(3 * 256, 6 if broken else 10))


@fault("labels_out_of_range")
def a_label_of_minus_one(broken):
    y = classes()
    y[3] = -1 if broken else 3
    return coloured(mlp(3 * 256), y=y)


@fault("labels_wrong_type")
def labels_in_a_column(broken):
    return coloured(mlp(3 * 256), y=classes()[:, None] if broken else classes())


@fault("labels_wrong_type")
def labels_of_32_bits(broken):
    return coloured(mlp(3 * 256), y=classes().int() if broken else classes())


@fault("labels_wrong_type")
def labels_as_floats(broken):
    return coloured(mlp(3 * 256), y=classes().float() if broken else classes())


@fault("labels_wrong_type")
def one_hot_whole_numbers(broken):
    return coloured(mlp(3 * 256), y=F.one_hot(classes(), 10) if broken else classes())


@fault("labels_wrong_type")
def binary_labels_as_whole_numbers(broken):
    y = classes(k=2)
    return coloured(
        nn.Sequential(mlp(768, 1), nn.Flatten(0)), nn.BCEWithLogitsLoss(), y=y if broken else y.float()
    )


@fault("labels_wrong_type")
def binary_outputs_in_a_column(broken):
    y = classes(k=2).float()
    return coloured(mlp(768, 1), nn.BCEWithLogitsLoss(), y=y if broken else y[:, None])


# images


@fault("image_axes_scrambled")
def view_in_the_place_of_permute(broken):
    last = pictures().permute(0, 2, 3, 1).contiguous()
    return coloured(mlp(3 * 256), x=last.view(32, 3, 16, 16) if broken else last.permute(0, 3, 1, 2))


@fault("channels_last")
def channels_stand_last(broken):
    x = pictures()
    return coloured(convolutions(nn.BatchNorm2d), x=x.permute(0, 2, 3, 1) if broken else x)


@fault("channels_last")
def channels_stand_last_before_a_dense_layer(broken):
    x = pictures()
    return coloured(mlp(768), x=x.permute(0, 2, 3, 1) if broken else x)


@fault("input_wrong_shape")
def no_axis_of_channels(broken):
    x = pictures(channels=1)
    return coloured(convolutions(nn.BatchNorm2d, channels=1), x=x[:, 0] if broken else x)


@fault("input_wrong_shape")
def one_channel_where_three_are_wanted(broken):
    return coloured(convolutions(nn.BatchNorm2d), x=pictures(channels=1 if broken else 3))


@fault("input_wrong_shape")
def no_flattening_before_a_dense_layer(broken):
    return coloured(mlp(768)[1:] if broken else mlp(768))


@fault("input_wrong_type")
def bytes_enter_the_network(broken):
    x = (pictures() * 50 + 128).clamp(0, 255).byte()
    return coloured(convolutions(nn.BatchNorm2d), x=x if broken else x.float() / 64 - 2)


@fault("input_wrong_type")
def doubles_enter_the_network(broken):
    return coloured(mlp(768), x=pictures().double() if broken else pictures())


@fault("input_out_of_scale")
def bytes_as_floats(broken):
    x = (pictures() * 50 + 128).clamp(0, 255).round()
    return coloured(mlp(768), x=x if broken else (x - 128) / 50)


@fault("input_not_finite")
def one_pixel_is_nan(broken):
    x = pictures()
    x[5, 0, 3, 3] = float("nan") if broken else 0.0
    return coloured(mlp(768), x=x)


@fault("blank_images")
def some_images_are_blank(broken):
    x = pictures()
    if broken:
        x[3:9] = 0.5
    return coloured(mlp(768), x=x)


@fault("constant_input")
def all_images_are_the_same(broken):
    x = pictures()
    return coloured(mlp(768), x=x[:1].repeat(32, 1, 1, 1) if broken else x)


@fault("step_fails")
def a_loss_of_each_image(broken):
    return coloured(mlp(768), nn.CrossEntropyLoss(reduction="none" if broken else "mean"))


@fault("step_fails")
def written_over_before_the_backward_pass(broken):
    def between(h):
        z = h.exp()
        return z.mul_(2) if broken else z * 2

    return coloured(Cut(between))
