"""Each fault that one step shows: named in the broken loop, and nothing found in the same loop mended."""

import copy
import re
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from healthy import Block, Loop, ResNet, classes, convolutions, lenet, mlp, pictures, pretrained
from torch import Tensor, nn

import trainlab
from trainlab.doctor.report import CheckReport
from trainlab.errors import RequestError

Pair = Callable[[bool], Loop]

FAULTS: dict[str, tuple[str, Pair]] = {}
"""By name: the cause, and the loop broken (True) and mended."""


def fault(cause: str):
    def add(make: Pair) -> Pair:
        FAULTS[make.__name__] = (cause, make)
        return make

    return add


def ending(last: nn.Module | None) -> nn.Module:
    return nn.Sequential(mlp(3 * 256), *([last] if last is not None else []))


def coloured(model: nn.Module, loss=F.cross_entropy, optimizer=None, x=None, y=None) -> Loop:
    batch = (pictures() if x is None else x, classes() if y is None else y)
    return Loop(model, loss, batch, *([optimizer] if optimizer else []))


# parameters and optimizer


@fault("parameters_not_in_optimizer")
def only_the_head_is_in_the_optimizer(broken):
    return coloured(
        mlp(3 * 256), optimizer=lambda m: torch.optim.SGD((m[-1] if broken else m).parameters(), 0.1)
    )


@fault("parameters_not_in_optimizer")
def the_head_is_replaced_after_the_optimizer_was_made(broken):
    model = mlp(3 * 256)

    def make(m):
        optimizer = torch.optim.SGD(m.parameters(), 0.1)
        if broken:
            m[-1] = nn.Linear(64, 10)
        return optimizer

    return coloured(model, optimizer=make)


@fault("optimizer_of_other_model")
def the_optimizer_is_of_a_copy(broken):
    return coloured(
        mlp(3 * 256), optimizer=lambda m: torch.optim.Adam((copy.deepcopy(m) if broken else m).parameters())
    )


@fault("learning_rate_zero")
def a_rate_of_zero(broken):
    return coloured(mlp(3 * 256), optimizer=lambda m: torch.optim.SGD(m.parameters(), 0.0 if broken else 0.1))


@fault("parameters_never_change")
def steps_below_half_precision(broken):
    head = nn.Linear(768, 10)
    nn.init.constant_(head.bias, 1.0)
    model = nn.Sequential(nn.Flatten(), head).to(torch.bfloat16 if broken else torch.float32)
    x = pictures().to(torch.bfloat16 if broken else torch.float32)
    return coloured(model, x=x, optimizer=lambda m: torch.optim.Adam(m.parameters(), lr=1e-6))


@fault("weight_decay_too_strong")
def a_decay_of_fifty(broken):
    return coloured(
        mlp(3 * 256),
        optimizer=lambda m: torch.optim.SGD(m.parameters(), 0.1, weight_decay=50 if broken else 1e-4),
    )


@fault("weight_decay_too_strong")
def a_decoupled_decay_of_two_hundred(broken):
    return coloured(
        mlp(3 * 256),
        optimizer=lambda m: torch.optim.AdamW(m.parameters(), 1e-3, weight_decay=200 if broken else 1),
    )


# frozen, detached, modes


@fault("no_trainable_gradient")
def all_is_frozen(broken):
    return coloured(mlp(3 * 256).requires_grad_(not broken))


@fault("frozen_at_initialization")
def convolutions_are_frozen_and_random(broken):
    model = convolutions(nn.BatchNorm2d)
    model[:-1].requires_grad_(not broken)
    return coloured(model)


@fault("frozen_at_initialization")
def depthwise_convolutions_are_frozen_and_random(broken):
    from torchvision.models import mobilenet_v3_small

    model = mobilenet_v3_small(num_classes=10)
    model.features.requires_grad_(not broken)
    return coloured(model, x=pictures(size=32))


@fault("frozen_batchnorm_moves")
def a_frozen_backbone_goes_on_following_the_batches(broken):
    model = pretrained(ResNet(), pictures(), classes())
    model.backbone.requires_grad_(False)
    model.backbone.train(broken)
    return coloured(model)


@fault("batchnorm_frozen")
def batchnorm_is_put_in_evaluation_mode(broken):
    model = convolutions(nn.BatchNorm2d)
    for m in model.modules():
        if isinstance(m, nn.BatchNorm2d) and broken:
            m.eval()
    return coloured(model)


@fault("batchnorm_frozen")
def a_batchnorm_that_refuses_to_train(broken):
    class Frozen(nn.BatchNorm2d):
        def train(self, mode=True):
            return super().train(False)

    return coloured(convolutions(Frozen if broken else nn.BatchNorm2d))


@fault("eval_mode_in_training")
def evaluation_mode_is_left_on(broken):
    return coloured(convolutions(nn.BatchNorm2d).train(not broken))


@fault("eval_mode_in_training")
def evaluation_mode_switches_dropout_off(broken):
    return coloured(nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(768, 10)).train(not broken))


@fault("layers_not_registered")
def layers_in_a_plain_list(broken):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            hidden = [nn.Linear(768, 32), nn.Linear(32, 32)]
            self.hidden, self.head = hidden if broken else nn.ModuleList(hidden), nn.Linear(32, 10)

        def forward(self, x):
            x = x.flatten(1)
            for layer in self.hidden:
                x = layer(x).relu()
            return self.head(x)

    return coloured(Net())


@fault("layers_not_registered")
def a_weight_that_is_no_parameter(broken):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            weight = torch.randn(768, 32) * 0.03
            self.weight = weight.requires_grad_() if broken else nn.Parameter(weight)
            self.head = nn.Linear(32, 10)

        def forward(self, x):
            return self.head((x.flatten(1) @ self.weight).relu())

    return coloured(Net())


class Cut(nn.Module):
    """Two layers, with a function between them."""

    def __init__(self, between: Callable[[Tensor], Tensor], after: Callable[[Tensor], Tensor] = lambda z: z):
        super().__init__()
        self.a, self.b, self.between, self.after = nn.Linear(768, 32), nn.Linear(32, 10), between, after

    def forward(self, x):
        return self.after(self.b(self.between(self.a(x.flatten(1)).relu())))


@fault("parameters_without_gradient")
def numpy_in_the_middle(broken):
    return coloured(Cut((lambda h: torch.from_numpy(h.detach().numpy())) if broken else (lambda h: h)))


@fault("parameters_without_gradient")
def a_layer_that_is_never_called(broken):
    class Unused(nn.Sequential):
        def __init__(self):
            super().__init__(*mlp(3 * 256))
            if broken:
                self.extra = nn.Linear(64, 64)

        def forward(self, input):
            for layer in list(self)[:4]:
                input = layer(input)
            return input

    return coloured(Unused())


@fault("loss_detached")
def the_output_is_detached(broken):
    return coloured(Cut(lambda h: h, (lambda z: z.detach()) if broken else (lambda z: z)))


@fault("loss_detached")
def the_loss_is_a_number(broken):
    return coloured(mlp(3 * 256), (lambda z, y: F.cross_entropy(z, y).item()) if broken else F.cross_entropy)


@fault("loss_detached")
def the_loss_is_made_of_a_new_tensor(broken):
    loss = lambda z, y: F.cross_entropy(torch.tensor(z.tolist()) if broken else z, y)  # noqa: E731
    return coloured(mlp(3 * 256), loss)


@fault("symmetric_weights")
def all_weights_are_zero(broken):
    model = nn.Sequential(nn.Flatten(), nn.Linear(768, 50), nn.Sigmoid(), nn.Linear(50, 10))
    for p in model.parameters():
        nn.init.zeros_(p) if broken else nn.init.normal_(p, std=0.1)
    return coloured(model)


@fault("symmetric_weights")
def all_weights_are_one_number(broken):
    model = lenet(3)
    with torch.no_grad():
        model(pictures(2))
    for p in model.parameters():
        nn.init.constant_(p, 0.01) if broken else nn.init.normal_(p, std=0.1)
    return coloured(model)


@fault("dropout_leaves_nothing")
def dropout_of_nearly_all(broken):
    return coloured(
        nn.Sequential(
            nn.Flatten(), nn.Linear(768, 64), nn.Dropout(0.97 if broken else 0.5), nn.Linear(64, 10)
        )
    )


@fault("batchnorm_of_one_image")
def a_batch_of_one_image(broken):
    n = 1 if broken else 8
    return coloured(convolutions(nn.BatchNorm2d), x=pictures(n), y=classes(n))


@fault("batchnorm_of_one_image")
def a_dense_batchnorm_of_one_image(broken):
    n = 1 if broken else 8
    model = nn.Sequential(nn.Flatten(), nn.Linear(768, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 10))
    return coloured(model, x=pictures(n), y=classes(n))


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


def found(name: str, broken: bool) -> CheckReport:
    torch.manual_seed(0)
    loop = FAULTS[name][1](broken)
    return trainlab.check(loop.model, loop.loss, loop.batch, loop.optimizer)


@pytest.mark.parametrize("name", FAULTS)
def test_the_fault_is_named_first_and_the_mended_loop_has_none(name):
    cause = FAULTS[name][0]
    report = found(name, broken=True)
    assert report.causes[:1] == (cause,), str(report)
    first = report.findings[0]
    assert "\n" not in first.description and first.remedy_code
    mended = found(name, broken=False)
    assert not mended, str(mended)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("softmax_module", "1 (Softmax)"),
        ("sigmoid_and_cross_entropy", "1 (Sigmoid)"),
        ("relu_after_the_last_layer", "1 (ReLU)"),
        ("softmax_by_hand", None),
        ("convolutions_are_frozen_and_random", "0 (Conv2d 3→16, 3×3)"),
        ("all_weights_are_zero", "1 (Linear 768→50)"),
        ("numpy_in_the_middle", "a (Linear 768→32)"),
        ("dropout_of_nearly_all", "2 (Dropout)"),
    ],
)
def test_the_layer_is_named(name, layer):
    assert found(name, broken=True).findings[0].layer == layer


def test_a_frozen_network_without_a_graph_is_not_judged_by_its_values():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=4), nn.ReLU(), nn.Conv2d(16, 10, 3), nn.ReLU(),
        nn.Flatten(2), nn.MaxPool1d(4), nn.Flatten(),
    ).requires_grad_(False)  # fmt: skip
    assert trainlab.check(model, F.cross_entropy, (pictures(), classes())).causes == (
        "no_trainable_gradient",
    )


def test_a_last_operation_of_ones_own_is_judged_by_its_values():
    class Cutting(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, z: Tensor) -> Tensor:
            return z.relu()

        @staticmethod
        def backward(ctx: Any, *grad: Any) -> Any:
            return grad[0]

    torch.manual_seed(0)
    loop = coloured(Cut(lambda h: h, Cutting.apply))
    assert trainlab.check(loop.model, loop.loss, loop.batch).causes == ("activation_after_last_layer",)


def test_gradients_that_are_switched_off_are_told():
    loop = coloured(mlp(768))
    with torch.no_grad():
        assert trainlab.check(loop.model, loop.loss, loop.batch).causes == ("gradients_disabled",)
        assert not torch.is_grad_enabled()
    assert not trainlab.check(loop.model, loop.loss, loop.batch)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("one_pixel_is_nan", r"1 number in 1 of 32 images is NaN or infinite, first in image 5"),
        ("some_images_are_blank", r"6 of 32 images are one value throughout, first image 3"),
        ("one_hot_whole_numbers", r"the labels are int64 of shape \(32, 10\).*one-hot"),
        ("labels_in_a_column", r"int64 of shape \(32, 1\).*expected classes"),
        ("channels_stand_last", r"the shape \(32, 16, 16, 3\), channels last, expected \(N, C, H, W\)"),
        ("no_axis_of_channels", r"\(N, H, W\), here \(32, 16, 16\), expected \(N, C, H, W\)"),
        ("bytes_enter_the_network", r"the images are uint8 \(bytes\), the network's weights float32"),
        ("labels_from_one", r"the labels are 1 … 10, and the network has 10 outputs"),
        ("convolutions_are_frozen_and_random", r"2 of 3 weight layers are frozen, 1 train"),
        ("layers_in_a_plain_list", r"hidden\[0\] \(Linear 768→32\)"),
        ("only_the_head_is_in_the_optimizer", r"2 of 4 trainable parameters .* 1 \(Linear 768→64\)"),
        ("numpy_in_the_middle", r"a \(Linear 768→32\)"),
        ("no_flattening_before_a_dense_layer", r"1 \(Linear 768→64\) gets \(32, 3, 16, 16\)"),
    ],
)  # fmt: skip
def test_the_description_has_numbers_and_place(name, words):
    assert re.search(words, found(name, broken=True).findings[0].description)


def test_an_error_of_somebody_else_is_told_in_one_short_line():
    def loss(output, target):
        raise RuntimeError("first line\n" + 5000 * "and more ")

    (finding,) = trainlab.check(mlp(768), loss, (pictures(), classes()))
    assert finding.cause == "step_fails" and "RuntimeError: first line and more" in finding.description
    assert "\n" not in finding.description and len(finding.description) < 500


def test_a_network_whose_parts_only_wait_for_the_ones_above_is_not_symmetric():
    """A head of zeros, and residual branches that end in zeros: the gradient comes in step by step."""
    torch.manual_seed(0)
    model = ResNet()
    nn.init.zeros_(model.head.weight)
    for block in model.modules():
        if isinstance(block, Block):
            nn.init.zeros_(block.body[3].get_parameter("weight"))
            nn.init.ones_(block.body[4].get_parameter("weight"))
    assert not trainlab.check(model, F.cross_entropy, (pictures(), classes()))


def scripted(model: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that TorchScript is deprecated
        return torch.jit.script(model)


LINEAR = nn.Linear(2, 2)
PAIR = (torch.zeros(2, 2), torch.zeros(2, 2))
REQUESTS: dict[str, tuple[Any, ...]] = {
    "got the class Linear for the network": (nn.Linear, F.mse_loss, PAIR),
    "has no parameters": (nn.ReLU(), F.mse_loss, PAIR),
    "got a scripted module": (scripted(nn.Linear(2, 2)), F.mse_loss, PAIR),
    "has no shape yet": (nn.LazyLinear(2), F.mse_loss, PAIR),
    "the loader is empty": (LINEAR, F.mse_loss, []),
    "got a Tensor for the batches": (LINEAR, F.mse_loss, torch.zeros(2, 2)),
    "got an int for the batches": (LINEAR, F.mse_loss, 3),
    "got a str for the loss": (LINEAR, "mse", PAIR),
    "batches of 3 parts.*unpack=": (LINEAR, F.mse_loss, [(torch.zeros(2, 2),) * 3]),
    "the keys left, right.*unpack=": (LINEAR, F.mse_loss, {"left": torch.zeros(2), "right": torch.zeros(2)}),
    "got the class SGD for the optimizer": (LINEAR, F.mse_loss, PAIR, torch.optim.SGD),
    "got a function for the optimizer": (LINEAR, F.mse_loss, PAIR, lambda p: torch.optim.SGD(p, lr=0.1)),
}


@pytest.mark.parametrize("words", REQUESTS)
def test_a_wrong_request_is_one_line(words):
    with pytest.raises(RequestError, match=words) as caught:
        trainlab.check(*REQUESTS[words])
    assert str(caught.value).startswith("check: ") and "\n" not in str(caught.value)


def test_batches_of_all_kinds():
    from torch.utils.data import DataLoader, TensorDataset

    x, y = pictures(), classes()
    data = TensorDataset(x, y)
    loader = DataLoader(data, batch_size=16, shuffle=True)
    model = mlp(768)
    own = {"picture": x, "which": y, "index": torch.arange(32)}
    for batch in ((x, y), [x, y], {"x": x, "y": y}, data, loader, [(x, y), (x, y)], (x.numpy(), y.numpy())):
        assert not trainlab.check(model, F.cross_entropy, batch), type(batch)
    assert not trainlab.check(model, F.cross_entropy, own, unpack=lambda b: (b["picture"], b["which"]))
    with pytest.raises(RequestError, match="unpack fails on a dict: KeyError"):
        trainlab.check(model, F.cross_entropy, own, unpack=lambda b: (b["image"], b["which"]))


# the user's own step


def plain_step(model, x, y, optimizer):
    model.train()
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    optimizer.step()


def no_zero_grad(model, x, y, optimizer):
    F.cross_entropy(model(x), y).backward()
    optimizer.step()


def no_backward(model, x, y, optimizer):
    optimizer.zero_grad()
    F.cross_entropy(model(x), y)
    optimizer.step()


def zeroed_after_backward(model, x, y, optimizer):
    F.cross_entropy(model(x), y).backward()
    optimizer.zero_grad()
    optimizer.step()


def no_step(model, x, y, optimizer):
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()


def under_no_grad(model, x, y, optimizer):
    optimizer.zero_grad()
    with torch.no_grad():
        loss = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()


def in_eval_mode(model, x, y, optimizer):
    model.eval()
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    optimizer.step()


def always_clipped(model, x, y, optimizer):
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1e-5)
    optimizer.step()


def accumulating(model, x, y, optimizer):
    optimizer.zero_grad()
    for part, labels in zip(x.chunk(4), y.chunk(4), strict=True):
        (F.cross_entropy(model(part), labels) / 4).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


def with_closure(model, x, y, optimizer):
    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        return loss

    optimizer.step(closure)


@pytest.mark.parametrize(
    ("step", "cause"),
    [
        (no_zero_grad, "gradients_add_up"),
        (no_backward, "no_backward"),
        (zeroed_after_backward, "no_backward"),
        (no_step, "no_optimizer_step"),
        (under_no_grad, "gradients_disabled"),
        (in_eval_mode, "eval_mode_in_training"),
        (always_clipped, "gradient_clip_too_small"),
        (plain_step, None),
        (accumulating, None),
        (with_closure, None),
    ],
)
def test_a_step_of_ones_own(step, cause):
    torch.manual_seed(0)
    model = convolutions(nn.BatchNorm2d)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    report = trainlab.check(model, None, (pictures(), classes()), optimizer, step=step)
    assert report.causes == ((cause,) if cause else ()), str(report)


def test_a_step_of_a_network_that_is_frozen_as_a_whole():
    model = mlp(768).requires_grad_(False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    report = trainlab.check(model, None, (pictures(), classes()), optimizer, step=plain_step)
    assert report.causes == ("no_trainable_gradient",)


def test_what_follows_from_the_fault_is_not_told_beside_it():
    torch.manual_seed(0)
    model = ending(nn.ReLU())
    nn.init.constant_(model[0][-1].bias, -10.0)  # every logit is cut off: no gradient is left
    assert trainlab.check(model, F.cross_entropy, (pictures(), classes())).causes == (
        "activation_after_last_layer",
    )


def test_a_step_that_calls_train_itself_may_be_given_a_network_in_evaluation_mode():
    model = convolutions(nn.BatchNorm2d).eval()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batch = (pictures(), classes())
    assert not trainlab.check(model, F.cross_entropy, batch, optimizer, step=plain_step)
    assert not model.training


def test_a_step_needs_an_optimizer_and_runs_what_it_is_given():
    model = mlp(768)
    batch = (pictures(), classes())
    with pytest.raises(RequestError, match="needs the optimizer too"):
        trainlab.check(model, None, batch, step=plain_step)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(RequestError, match="never runs the network that it is given"):
        trainlab.check(model, None, batch, optimizer, step=lambda m, x, y, o: model(x))
