"""Loops as users write them, on small networks: each is a function of (network, watch), that trains for some
steps and returns its losses. `watch` is called with the network and its optimizer, where the user would."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Watch = Callable[..., object]
STEPS = 6


def batches(steps: int = STEPS, images: int = 32) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    prototypes = torch.randn(5, 1, 12, 12, generator=generator)
    for _ in range(steps):
        y_N = torch.randint(5, (images,), generator=generator)
        yield prototypes[y_N] + 0.5 * torch.randn(images, 1, 12, 12, generator=generator), y_N


def cnn() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.2), nn.Flatten(),
        nn.Linear(150, 16), nn.ReLU(inplace=True), nn.Linear(16, 5),
    )  # fmt: skip


class Residual(nn.Module):
    """Functional activations, a skip connection, a tied layer, an output in a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.shared, self.head = nn.Linear(144, 20), nn.Linear(20, 20), nn.Linear(20, 5)
        self.norm = nn.LayerNorm(20)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        h = torch.tanh(self.first(x.flatten(1)))
        for _ in range(2):
            h = h + self.scale * F.relu(self.shared(self.norm(h)))
        return {"features": h, "logits": self.head(h)}


class Attention(nn.Module):
    """A transformer over the rows of an image."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(12, 2, 24, dropout=0.1, batch_first=True)
        self.body, self.head = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x.squeeze(1)).mean(1))


def logits_of(output: Tensor | dict[str, Tensor]) -> Tensor:
    return output if isinstance(output, Tensor) else output["logits"]


ARCHITECTURES = {"cnn": cnn, "residual": Residual, "attention": Attention}


def sgd(network: nn.Module, lr: float = 0.05, **options) -> torch.optim.Optimizer:
    return torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=lr, **options)


def train(network, optimizer, steps=4, loss=F.cross_entropy, zero_grad=True, backward=True, step=True):
    for x, y in batches(steps):
        if zero_grad:
            optimizer.zero_grad()
        value = loss(network(x), y)
        if backward:
            value.backward()
        if step:
            optimizer.step()


def plain(network: nn.Module, watch: Watch) -> list[float]:
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    watch(network, optimizer)
    losses = []
    for x, y in batches():
        optimizer.zero_grad()
        loss = F.cross_entropy(logits_of(network(x)), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def accumulated(network: nn.Module, watch: Watch) -> list[float]:
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    watch(network, optimizer)
    losses = []
    for k, (x, y) in enumerate(batches(2 * STEPS)):
        loss = F.cross_entropy(logits_of(network(x)), y) / 2
        loss.backward()
        losses.append(loss.item())
        if k % 2:
            optimizer.step()
            optimizer.zero_grad()
    return losses


def clipped_and_scheduled(network: nn.Module, watch: Watch) -> list[float]:
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=STEPS)
    watch(network, optimizer)
    losses = []
    for x, y in batches():
        optimizer.zero_grad(set_to_none=False)
        loss = F.cross_entropy(logits_of(network(x)), y, label_smoothing=0.1)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 0.5)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


def autocast_and_scaler(network: nn.Module, watch: Watch) -> list[float]:
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    watch(network, optimizer)
    losses = []
    for x, y in batches():
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = F.cross_entropy(logits_of(network(x)), y)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    return losses


def two_optimizers(network: nn.Module, watch: Watch) -> list[float]:
    parameters = list(network.parameters())
    body, head = torch.optim.SGD(parameters[:-2], lr=0.01), torch.optim.Adam(parameters[-2:], lr=1e-3)
    watch(network, {"body": body, "head": head})
    losses = []
    for x, y in batches():
        body.zero_grad(), head.zero_grad()
        loss = F.cross_entropy(logits_of(network(x)), y)
        loss.backward()
        body.step(), head.step()
        losses.append(loss.item())
    return losses


def alternating(network: nn.Module, watch: Watch) -> list[float]:
    parameters = list(network.parameters())
    halves = torch.optim.SGD(parameters[:-2], lr=0.01), torch.optim.SGD(parameters[-2:], lr=0.01)
    watch(network, halves)
    losses = []
    for k, (x, y) in enumerate(batches()):
        network.zero_grad()
        loss = F.cross_entropy(logits_of(network(x)), y)
        loss.backward()
        halves[k % 2].step()
        losses.append(loss.item())
    return losses


def lbfgs(network: nn.Module, watch: Watch) -> list[float]:
    optimizer = torch.optim.LBFGS(network.parameters(), lr=0.1, max_iter=4)
    watch(network, optimizer)
    losses = []
    for x, y in batches(4):

        def closure(x=x, y=y) -> Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(logits_of(network(x)), y)
            loss.backward()
            return loss

        losses.append(optimizer.step(closure).item())
    return losses


def unfrozen_on_the_way(network: nn.Module, watch: Watch) -> list[float]:
    *frozen, _, _ = network.parameters()
    for parameter in frozen:  # weights as of a network that was trained, with heavier tails
        parameter.data.mul_(1 + 20 * parameter.data.abs())
        parameter.requires_grad_(False)
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=1e-3)
    watch(network, optimizer)
    losses = []
    for k, (x, y) in enumerate(batches()):
        if k == 2:
            for parameter in frozen:
                parameter.requires_grad_(True)
            optimizer.add_param_group({"params": frozen, "lr": 1e-4})
        optimizer.zero_grad()
        loss = F.cross_entropy(logits_of(network(x)), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def evaluated_between(network: nn.Module, watch: Watch) -> list[float]:
    """With evaluation, a checkpoint and a restore between the steps."""
    optimizer = torch.optim.RMSprop(network.parameters(), lr=1e-3)
    watch(network, optimizer)
    losses = []
    for x, y in batches():
        network.eval()
        with torch.no_grad():
            losses.append(F.cross_entropy(logits_of(network(x)), y).item())
        network.train()
        optimizer.zero_grad()
        loss = F.cross_entropy(logits_of(network(x)), y)
        loss.backward()
        optimizer.step()
        state = {name: value.clone() for name, value in network.state_dict().items()}
        network.load_state_dict(state)
        losses.append(loss.item())
    return losses


def gradients_by_hand(network: nn.Module, watch: Watch) -> list[float]:
    """`torch.autograd.grad` in the place of backward, as second-order methods do."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    watch(network, optimizer)
    losses = []
    for x, y in batches():
        loss = F.cross_entropy(logits_of(network(x)), y)
        parameters = list(network.parameters())
        for parameter, grad in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            parameter.grad = grad
        optimizer.step()
        losses.append(loss.item())
    return losses


def two_losses(network: nn.Module, watch: Watch) -> list[float]:
    """Two backward passes through one graph, and a penalty on the weights."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    watch(network, optimizer)
    losses = []
    for x, y in batches():
        optimizer.zero_grad()
        output = logits_of(network(x))
        loss = F.cross_entropy(output, y)
        loss.backward(retain_graph=True)
        (0.1 * output.square().mean() + 1e-3 * next(network.parameters()).square().sum()).backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def checkpointed(network: nn.Module, watch: Watch) -> list[float]:
    """Activations are recomputed in the backward pass."""
    from torch.utils.checkpoint import checkpoint

    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    watch(network, optimizer)
    losses = []
    for x, y in batches():
        optimizer.zero_grad()
        loss = F.cross_entropy(logits_of(checkpoint(network, x, use_reentrant=False)), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def regression(network: nn.Module, watch: Watch) -> list[float]:
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    watch(network, optimizer)
    losses = []
    for x, _ in batches():
        optimizer.zero_grad()
        loss = F.mse_loss(logits_of(network(x)), x.flatten(1)[:, :5])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


LOOPS = {
    loop.__name__: loop
    for loop in (
        plain, accumulated, clipped_and_scheduled, autocast_and_scaler, two_optimizers, alternating, lbfgs,
        unfrozen_on_the_way, evaluated_between, gradients_by_hand, two_losses, checkpointed, regression,
    )
}  # fmt: skip
