"""What newcomers hand over first: one line says what came and what was expected, in no words of torch."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from trainlab.diagnosis import preflight
from trainlab.errors import RequestError

X, Y = torch.randn(32, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(32) % 4
SGD = partial(torch.optim.SGD, lr=0.1)


def conv() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 4))


def after(change) -> nn.Module:
    """The network with something done to its logits."""

    class Changed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = conv()

        def forward(self, x):
            return change(self.network(x))

    return Changed()


class Straight(torch.autograd.Function):
    """A sign with a straight-through gradient: torch cannot differentiate it forward."""

    @staticmethod
    def forward(ctx, x):
        return torch.sign(x)

    @staticmethod
    def backward(ctx, *gradients):
        return gradients


BATCHES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "float labels": ([(X, Y.float())], ("float32", "int64", "y.long()")),
    "labels of a regression": ([(X, Y + 0.5)], ("float32", "regression")),
    "one-hot": ([(X, nn.functional.one_hot(Y, 4).float())], ("(32, 4)", "one-hot", "argmax(1)")),
    "one-hot of integers": ([(X, nn.functional.one_hot(Y, 4))], ("(32, 4)", "argmax(1)")),
    "int32": ([(X, Y.int())], ("int32", "int64", "y.long()")),
    "uint8 labels": ([(X, Y.byte())], ("uint8", "int64")),
    "bool labels": ([(X, Y > 1)], ("bool", "int64")),
    "(N, 1)": ([(X, Y[:, None])], ("(32, 1)", "squeeze(1)")),
    "maps of labels": ([(X, Y[:, None, None].expand(32, 8, 8))], ("(32, 8, 8)", "(N,)")),
    "bytes": ([(X.byte(), Y)], ("uint8", "bytes", "float")),
    "integers": ([(X.long(), Y)], ("int64", "x.float()")),
    "float64": ([(X.double(), Y)], ("float64", "float32")),
    "float16": ([(X.half(), Y)], ("float16", "float32")),
    "NHWC": ([(X.permute(0, 2, 3, 1), Y)], ("(N, 8, 8, 1)", "permute(0, 3, 1, 2)")),
    "no channel axis": ([(X[:, 0], Y)], ("(N, 8, 8)", "unsqueeze(1)")),
    "three channels": ([(X.expand(-1, 3, -1, -1), Y)], ("3 channels", "takes 1")),
    "another size": ([(torch.randn(32, 1, 9, 9), Y)], ("(N, 1, 9, 9)", "cannot be run")),
    "rows": ([(X.flatten(), Y)], ("(2048,)", "(N, C, H, W)")),
    "two sizes": ([(X, Y), (torch.randn(32, 1, 9, 9), Y)], ("shape",)),
    "fewer labels": ([(X, Y[:7])], ("32 images", "7 labels")),
    "a Dataset": (TensorDataset(X, Y), ("TensorDataset", "DataLoader(")),
    "a Dataset that is empty": (TensorDataset(X[:0], Y[:0]), ("DataLoader(",)),
    "single images": (list(zip(X, Y.tolist(), strict=True)), ("labels", "int")),
    "(x, y, index)": ([(X, Y, Y)], ("3 parts", "for x, y, *_ in loader")),
    "one part": ([(X,)], ("1 parts",)),
    "dicts": ([{"image": X, "label": Y}], ("image, label", 'b["image"]')),
    "a dict": ({"image": X, "label": Y}, ("dict", "(x_NCHW, y_N)")),
    "images alone": ([X], ("(32, 1, 8, 8)", "without labels")),
    "arrays": ([(X.numpy(), Y.numpy())], ("ndarray", "from_numpy")),
    "lists": ([(X, Y.tolist())], ("labels", "list")),
    "no batches": ([], ("0 images",)),
    "None": (None, ("NoneType",)),
    "text": ("mnist", ("str",)),
    "a number": (7, ("int",)),
    "a loader that fails": ((1 / 0 for _ in range(3)), ("ZeroDivisionError",)),
    "too many classes": ([(X, Y + 1)], ("1 to 4", "4 logits")),
    "negative classes": ([(X, Y - 100)], ("-100", "4 logits")),
}


@pytest.mark.parametrize("kind", BATCHES)
def test_wrong_batches_are_one_line(kind):
    batches, says = BATCHES[kind]
    with pytest.raises(RequestError) as error:
        preflight(conv(), batches, SGD, 10)
    text = str(error.value)
    assert all(word in text for word in says), text
    assert text.startswith("preflight: ") and "\n" not in text and len(text) < 300


NETWORKS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "a function": (lambda x: x, ("function", "torch.nn.Module")),
    "a class": (nn.Linear, ("class Linear", "was built")),
    "None": (None, ("NoneType",)),
    "lazy": (nn.Sequential(nn.Flatten(), nn.LazyLinear(4)), ("no shape yet",)),
    "a tuple": (after(lambda z: (z, z)), ("tuple", "(N, K)")),
    "a dict": (after(lambda z: {"logits": z}), ("dict", "(N, K)")),
    "one logit": (after(lambda z: z[:, :1]), (", 1)", "two logits")),
    "one column": (after(lambda z: z[:, 0]), ("(N, K)",)),
    "maps": (nn.Conv2d(1, 4, 3), ("(N, K)",)),
    "numpy in the middle": (after(lambda z: torch.tensor(z.numpy())), ("cannot be run", "numpy()")),
    "fails": (after(lambda z: z.nosuch), ("AttributeError", "nosuch")),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_wrong_networks_are_one_line(kind):
    network, says = NETWORKS[kind]
    with pytest.raises(RequestError) as error:
        preflight(network, [(X[:16], Y[:16])] * 2, SGD, 10)
    text = str(error.value)
    assert all(word in text for word in says), text
    assert text.startswith("preflight: ") and "\n" not in text and len(text) < 300


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (Tensor.detach, "detach"),
        (lambda z: z.argmax(1), "argmax"),
        (lambda z: torch.from_numpy(z.detach().numpy()), "detach"),
    ],
    ids=["detach", "argmax", "numpy"],
)
def test_a_network_that_gives_no_gradient_back_will_not_learn(change, says):
    found = preflight(after(change), [(X, Y)], SGD, 10)
    assert found.learns == 0 and found.cause == "no_trainable_gradient" and says in found.says
    assert found.answer == "will not learn"


def test_layers_behind_a_detach_are_named():
    network = conv()
    network[2].register_forward_hook(lambda module, inputs, output: output.detach())
    found = preflight(network, [(X, Y)], SGD, 100)
    assert any("no gradient: 0" in note for note in found.notes)


def test_layers_in_a_plain_list_and_frozen_ones_are_named():
    network = conv()
    network.extra = [nn.Linear(3, 3)]  # pyrefly: ignore[bad-argument-type]
    network[0].weight.requires_grad_(False)
    notes = " ".join(preflight(network, [(X, Y)], SGD, 100).notes)
    assert "extra[0]" in notes and "ModuleList" in notes and "1 of 2 weight layers are frozen: 0" in notes


OPTIMIZERS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "text": ("adam", ("'adam'", "expected an optimizer")),
    "None": (None, ("None", "expected an optimizer")),
    "a rate": (0.1, ("0.1", "expected an optimizer")),
    "gives nothing": (lambda p: None, ("None",)),
    "gives Lightning's pair": (lambda p: ([SGD(p)], []), ("tuple",)),
    "fails": (lambda p: torch.optim.SGD(p, lr=-1.0), ("ValueError", "-1.0")),
    "wants a closure": (torch.optim.LBFGS, ("closure",)),
    "no arguments": (lambda: None, ("TypeError",)),
}


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_wrong_optimizers_are_one_line(kind):
    optimizer, says = OPTIMIZERS[kind]
    with pytest.raises(RequestError) as error:
        preflight(conv(), [(X, Y)], optimizer, 10)
    text = str(error.value)
    assert all(word in text for word in says) and "optimizer" in text and "\n" not in text, text


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"steps": 0}, "steps=0"),
        ({"steps": 1.5}, "steps=1.5"),
        ({"steps": "10"}, "steps='10'"),
        ({"steps": True}, "steps=True"),
        ({"steps": float("nan")}, "steps=nan"),
        ({"gradient_clip": 0.0}, "gradient_clip=0.0"),
        ({"gradient_clip": "1"}, "gradient_clip='1'"),
        ({"gradient_clip": float("nan")}, "gradient_clip=nan"),
        ({"schedule": "cosine"}, "'cosine'"),
        ({"schedule": lambda o, n: 3}, "3"),
        ({"schedule": lambda o, n: 1 / 0}, "ZeroDivisionError"),
    ],
)
def test_wrong_numbers_and_schedules_are_one_line(more, says):
    request: dict[str, Any] = {"steps": 10, **more}
    with pytest.raises(RequestError) as error:
        preflight(conv(), [(X, Y)], SGD, **request)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_what_is_the_same_question_has_the_same_answer():
    network = conv()
    plain = preflight(network, [(X, Y)], SGD, 10)
    questions: list[tuple[Any, Any]] = [
        ((X, Y), 10),
        (DataLoader(TensorDataset(X, Y), batch_size=32), 10.0),
        (((x, y) for x, y in [(X, Y)]), np.int64(10)),
    ]
    for batches, steps in questions:
        assert preflight(network, batches, SGD, steps) == plain


def test_one_number_that_is_not_finite_is_named():
    broken = X.clone()
    broken[5, 0, 3, 3] = torch.nan
    found = preflight(conv(), [(broken, Y)], SGD, 10)
    assert "1 number of the input" in found.says and "image 5" in found.says


def test_a_function_of_the_networks_own_is_no_crash():
    """A straight-through sign has no forward derivative: differences take its place, and come to the same."""
    network = conv()
    network[1] = type("Signed", (nn.Module,), {"forward": lambda self, x: Straight.apply(x)})()
    assert 0 <= preflight(network, [(X, Y)], SGD, 100).learns <= 1
