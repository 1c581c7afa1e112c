"""Each fault that one step shows: named in the broken loop, and nothing found in the same loop mended."""

import re
import warnings
from typing import Any

import faulty_batches
import faulty_networks
import pytest
import torch
import torch.nn.functional as F
from faults import Cut, coloured
from small_networks import Block, ResNet, classes, mlp, pictures
from torch import Tensor, nn

import trainlab
from trainlab.doctor.report import CheckReport
from trainlab.errors import RequestError

FAULTS = faulty_networks.FAULTS | faulty_batches.FAULTS


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
