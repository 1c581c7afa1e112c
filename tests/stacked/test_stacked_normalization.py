"""Models with input normalizations of any kinds in one stack: logits and states of the models alone."""

from functools import partial

import pytest
import torch
from model_options import build, names
from stacks import networks
from torch import nn

from trainlab.errors import RequestError
from trainlab.nn.normalization import Center, InputNormalization, NormalizedNetwork, Standardize, Unit
from trainlab.stacked import stack_models

KINDS = names("normalization")


def models(normalizations, dtype=torch.float64):
    made = networks("plain_cnn", runs=len(normalizations), norm_layer="batchnorm")
    return [NormalizedNetwork(n, net.to(dtype)) for n, net in zip(normalizations, made, strict=True)]


def of_kind(name, mean=0.4, std=0.3):
    return build("normalization", name)(mean_C=(mean,), std_C=(std,))


def pixels(runs, dtype=torch.uint8):
    generator = torch.Generator().manual_seed(1)
    x_BNCHW = torch.randint(0, 256, (runs, 4, 1, 32, 32), generator=generator, dtype=torch.uint8).to(dtype)
    x_BNCHW[:, 0] = 7  # a constant image
    return x_BNCHW


def assert_equals_models(stack, singles, x_BNCHW):
    torch.testing.assert_close(
        stack(x_BNCHW), torch.stack([m(x) for m, x in zip(singles, x_BNCHW, strict=True)]), rtol=0, atol=1e-9
    )
    for run, single in enumerate(singles):
        state = stack.state_of_run(run)
        assert list(state) == list(single.state_dict())
        for name, tensor in single.state_dict().items():
            torch.testing.assert_close(state[name], tensor, rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
@pytest.mark.parametrize("kinds", [[kind] * 3 for kind in KINDS] + [KINDS, [*KINDS, *KINDS[::-1]]], ids=str)
def test_logits_and_states_are_those_of_the_models_alone(kinds, dtype):
    singles = models([of_kind(kind) for kind in kinds])
    stack = stack_models(singles)
    assert len(stack.normalization.kinds) == len(set(kinds)) and stack.runs == len(kinds)
    assert_equals_models(stack, singles, pixels(len(kinds), dtype))


def test_runs_with_other_statistics_are_not_done_together():
    singles = models([of_kind("standardize", mean) for mean in (0.1, 0.2, 0.1)])
    stack = stack_models(singles)
    assert stack.normalization.runs_of == [[0, 2], [1]]
    assert_equals_models(stack, singles, pixels(3))


def test_the_network_s_precision_decides():
    assert stack_models(models([Unit()] * 2, torch.float32))(pixels(2)).dtype == torch.float32


def test_a_subset_and_a_state_that_is_loaded():
    singles = models([of_kind(kind) for kind in KINDS])
    stack = stack_models(singles)
    subset = stack.subset([4, 1])
    chosen = [singles[4], singles[1]]
    assert_equals_models(subset, chosen, pixels(2))
    other = models([of_kind(kind) for kind in KINDS])[5]
    subset.load_state_of_run(0, {**other.state_dict(), **prefixed(singles[4].normalization)})
    assert torch.equal(
        subset.state_of_run(0)["network.head.linear.weight"], other.state_dict()["network.head.linear.weight"]
    )
    with pytest.raises(RequestError, match="run 0: its input normalization has other statistics"):
        subset.load_state_of_run(0, models([Standardize((0.9,), (0.9,))])[0].state_dict())


def prefixed(normalization):
    return {f"normalization.{name}": tensor for name, tensor in normalization.state_dict().items()}


class Trained(InputNormalization):
    """A user's own: with a parameter, a statistic of the batch and one that is kept."""

    def __init__(self, mean_C=(0.0,), std_C=(1.0,)):
        super().__init__(mean_C, std_C)
        self.gain = nn.Parameter(torch.tensor(0.5))
        self.register_buffer("batches", torch.zeros(()))

    def forward(self, x_NCHW):
        self.batches.add_(1)
        return self.gain * (x_NCHW.float() - x_NCHW.float().mean(0)) / 255


class Mixing(InputNormalization):
    def forward(self, x_NCHW):
        return x_NCHW.float() / x_NCHW.float().amax()


def test_a_user_s_own_is_called_for_each_run():
    singles = models([Trained(mean_C=(0.1 * run,)) for run in range(3)])
    stack = stack_models(singles)
    assert stack.get_parameter("normalization.kinds.0.gain").shape == (3,)
    assert_equals_models(stack, singles, pixels(3))
    assert_equals_models(stack.subset([2, 1]), [singles[2], singles[1]], pixels(2))
    stack.load_state_of_run(0, singles[1].state_dict())
    assert stack.state_of_run(0)["normalization.mean_C"] == singles[1].normalization.mean_C


def test_a_user_s_own_beside_another_kind():
    singles = models([Mixing(), Center((0.5,)), Mixing()])
    assert_equals_models(stack_models(singles), singles, pixels(3))
    with pytest.raises(RequestError, match="Trained, which is trained"):
        stack_models(models([Trained(), Unit()]))


def test_a_stack_moves_to_another_device_whole():
    stack = stack_models(models([of_kind(kind) for kind in KINDS])).to("meta")
    tensors = [*stack.parameters(), *stack.buffers()]
    assert all(tensor.is_meta for tensor in tensors)
    assert stack(pixels(len(KINDS)).to("meta")).shape == (len(KINDS), 4, 10)


def test_channels_last_pixels_give_the_same():
    singles = models([partial(of_kind, "standardize")() for _ in range(2)])
    x_BNCHW = pixels(2).movedim(2, 4).contiguous().movedim(4, 2)
    assert_equals_models(stack_models(singles), singles, x_BNCHW)


def test_some_of_the_runs_lie_on_the_device_of_all():
    stack = stack_models(models([of_kind(kind) for kind in KINDS])).to("meta")
    some = stack.subset([0, 2, 3])
    assert {tensor.device.type for tensor in [*some.parameters(), *some.buffers()]} == {"meta"}
