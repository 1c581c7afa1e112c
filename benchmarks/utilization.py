"""How much of the machine's matrix-product rate a training step of each architecture uses."""

import time
from collections.abc import Callable
from statistics import median

from benchmarks.contender import Contender
from benchmarks.measure import Measure
from benchmarks.workspace import Workspace
from trainlab.build.optimizer import optimizer_factory

ARCHITECTURES = {
    "lenet5": ["model=lenet5", "data=mnist"],
    "mlp": ["model=mlp", "data=mnist"],
    "locally_connected": ["model=locally_connected", "data=cifar10"],
    "plain_cnn": ["model=plain_cnn", "data=cifar10"],
    "vgg": ["model=vgg", "depth=11", "data=cifar10", "data.batch_size=32"],
    "resnet": ["model=resnet", "data=cifar10"],
}
MATRIX_SIZE = 1024


def measure(workspace: Workspace) -> list[Measure]:
    """Per architecture: operations of its steps per second, over those of a large matrix product."""
    count = 2 if workspace.quick else 5
    names = ["lenet5", "mlp"] if workspace.quick else list(ARCHITECTURES)
    found = []
    for name in names:
        with Contender(stepper, ARCHITECTURES[name], log=workspace.log) as process:
            process.round()
            rounds = [process.round() for _ in range(count)]
        shares = [step / product for step, product in rounds]
        found.append(
            Measure(
                name=f"share of the matrix-product rate: {name}",
                question="multiply-adds per second of training steps (three times those of the forward pass) "
                f"over those of a product of two {MATRIX_SIZE} × {MATRIX_SIZE} matrices, one thread",
                unit="%",
                value=100 * median(shares),
                rounds={"step": [step for step, _ in rounds], "product": [product for _, product in rounds]},
                rounds_unit="multiply-adds/s",
                medians={
                    "step": median(step for step, _ in rounds),
                    "product": median(product for _, product in rounds),
                },
            )
        )
    return found


def stepper(overrides: list[str]) -> Callable[[], tuple[float, float]]:
    """Steps of a platform's network on random pixels: (multiply-adds/s of steps, of a matrix product)."""
    import torch
    import torch.nn.functional as F

    from trainlab.build import networks
    from trainlab.config import compose
    from trainlab.models.anatomy import anatomy, totals

    settings = compose(overrides)
    shape, batch_size = networks.input_shape_CHW(settings), settings.data.batch_size
    num_classes = settings.data.num_classes
    assert num_classes is not None
    ones = (1.0,) * shape[0]
    model = networks.build_model(settings, shape, num_classes, ones, ones)
    multiply_adds = totals(anatomy(model.network, shape)).multiply_adds
    optimizer = optimizer_factory(settings)(model.parameters())
    x_NCHW = torch.randint(0, 256, (batch_size, *shape), dtype=torch.uint8)
    x_NCHW = x_NCHW.contiguous(memory_format=torch.channels_last)
    y_N = torch.randint(0, num_classes, (batch_size,))
    a, b = torch.rand(2, MATRIX_SIZE, MATRIX_SIZE)

    def step() -> None:
        loss = F.cross_entropy(model(x_NCHW), y_N)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def do_round() -> tuple[float, float]:
        # forward, and the two products of the backward pass: by inputs and by weights
        return 3 * multiply_adds * batch_size * _per_second(step), MATRIX_SIZE**3 * _per_second(lambda: a @ b)

    return do_round


def _per_second(call: Callable[[], object], at_least_seconds: float = 0.3) -> float:
    call()
    began, times = time.perf_counter(), 0
    while (seconds := time.perf_counter() - began) < at_least_seconds:
        call()
        times += 1
    return times / seconds
