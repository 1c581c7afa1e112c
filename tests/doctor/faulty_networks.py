"""Faults of parameters, optimizers, frozen parts and modes; each loop broken or mended."""

import copy

import torch
import torch.nn.functional as F
from faults import Cut, FaultTable, coloured
from small_networks import Loop, ResNet, classes, convolutions, lenet, mlp, pictures, pretrained
from torch import nn

FAULTS: FaultTable[Loop] = FaultTable()
fault = FAULTS.of


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
