import numpy as np
import torch
from torch import nn

from trainlab.serving.evaluate import top_errors


class Says(nn.Module):
    """Reads its logits off the image: class 0 by the first pixel, class 1 by the second."""

    def forward(self, x_NCHW):
        return x_NCHW.flatten(1)[:, :2].float() / 50


def test_the_surest_wrong_answer_comes_first_and_right_ones_are_left_out():
    x_NHWC = np.zeros((4, 1, 2, 1), np.uint8)
    x_NHWC[:, 0, 0, 0] = (20, 0, 50, 90)
    x_NHWC[:, 0, 1, 0] = (0, 30, 0, 0)
    found = top_errors(Says(), x_NHWC, np.array([1, 1, 1, 0]))
    assert [(m.index, m.true, m.predicted) for m in found] == [(2, 1, 0), (0, 1, 0)]
    expected = torch.tensor([1.0, 0.0]).softmax(0)
    assert np.allclose((found[0].p_predicted, found[0].p_true), expected)


def test_at_most_so_many_over_several_batches():
    x_NHWC = np.random.default_rng(0).integers(0, 255, (600, 1, 2, 1), dtype=np.uint8)
    found = top_errors(Says(), x_NHWC, np.zeros(600, int), most=5)
    wrong = [i for i in range(600) if x_NHWC[i, 0, 1, 0] > x_NHWC[i, 0, 0, 0]]
    gaps = {i: int(x_NHWC[i, 0, 1, 0]) - int(x_NHWC[i, 0, 0, 0]) for i in wrong}
    assert [gaps[m.index] for m in found] == sorted(gaps.values(), reverse=True)[:5]
