"""Networks whose modules are not called one by one: compiled as a whole, in parts, in place, by a function;
and those that share their gradients with other processes."""

import warnings

import pytest
import torch
import torch.multiprocessing as mp
from loops import batches, cnn
from torch import nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

import trainlab
from trainlab.diagnosis.known_causes import Finding
from trainlab.doctor.training_watch import TrainingWatch
from trainlab.errors import RequestError

BACKEND = "aot_eager"


def whole(network: nn.Module):
    return torch.compile(network, backend=BACKEND)


def in_place(network: nn.Module):
    network.compile(backend=BACKEND)
    return network


def a_part(network: nn.Module):
    first = torch.compile(network[:6], backend=BACKEND)
    assert isinstance(first, nn.Module)
    return nn.Sequential(first, network[6:])


def train(make, watch=None, *, zero_grad: bool = True):
    """Losses and weights; `watch` is called with the network as it was made, and as it is called."""
    torch.compiler.reset()
    torch.manual_seed(0)
    network = cnn()
    called = make(network)
    optimizer = torch.optim.SGD(called.parameters(), lr=0.05)
    if watch is not None:
        watch(network, called, optimizer)
    losses = []
    for x, y in batches(6):
        if zero_grad:
            optimizer.zero_grad()
        loss = F.cross_entropy(called(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, called.state_dict()


def train_watched(make, *, by_its_original: bool = False, zero_grad: bool = True):
    doctors: list[TrainingWatch] = []
    told: list[Finding] = []

    def watch(network, called, optimizer):
        subject = network if by_its_original else called
        doctors.append(trainlab.watch(subject, optimizer, runs=None, budget=100, on_finding=told.append))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        losses, weights = train(make, watch, zero_grad=zero_grad)
    doctors[0].stop()
    return losses, weights, doctors[0]


@pytest.mark.parametrize("make", [whole, in_place, a_part])
def test_compiled_networks_are_watched_by_their_weights(make):
    losses, weights = train(make)
    seen, watched, doctor = train_watched(make)
    assert seen == losses and all(torch.equal(weights[name], watched[name]) for name in weights)
    report = doctor.explain()
    assert not report and "runs compiled" in " ".join(report.notes)
    assert doctor.measured_steps >= 3
    _, _, doctor = train_watched(make, zero_grad=False)
    assert doctor.explain().causes == ("gradients_add_up",)


class ByAFunction:
    """The network is called in a function that is compiled."""

    def __init__(self, network: nn.Module):
        self.function = torch.compile(lambda x: network(x), backend=BACKEND)
        self.parameters, self.state_dict = network.parameters, network.state_dict

    def __call__(self, x):
        return self.function(x)


@pytest.mark.parametrize("make", [whole, ByAFunction])
def test_the_network_that_is_compiled_somewhere_else(make):
    losses, weights = train(make)
    seen, watched, doctor = train_watched(make, by_its_original=True)
    assert seen == losses and all(torch.equal(weights[name], watched[name]) for name in weights)
    assert not doctor.explain() and "runs compiled" in " ".join(doctor.explain().notes)


def test_copies_on_several_devices_are_refused():
    network = cnn()
    parallel = nn.DataParallel(network, device_ids=[])
    parallel.device_ids = [0, 1]
    with pytest.raises(RequestError, match="DataParallel trains copies"):
        trainlab.watch(parallel, torch.optim.SGD(network.parameters(), lr=0.1), runs=None)


def distributed(rank: int, processes: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    store = torch.distributed.TCPStore("127.0.0.1", port, processes, rank == 0)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=processes)
    results = {}
    for watched in (False, True):
        torch.manual_seed(0)
        network = DistributedDataParallel(cnn())
        optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
        doctor = trainlab.watch(network, optimizer, runs=folder, budget=100) if watched else None
        losses = []
        for k, (x, y) in enumerate(batches(8)):
            optimizer.zero_grad()
            loss = F.cross_entropy(network(x[rank::processes]), y[rank::processes])
            loss.backward()
            optimizer.step()
            losses.append((k, loss.item()))
        results[watched] = losses, network.state_dict()
        if doctor is not None:
            doctor.stop()
            assert not doctor.explain(), doctor.explain()
            assert (doctor.folder is None) == (rank > 0)
            assert doctor.measured_steps >= 3 or rank > 0
    (losses, weights), (seen, watched_weights) = results[False], results[True]
    assert losses == seen and all(torch.equal(weights[name], watched_weights[name]) for name in weights)
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_processes_that_share_their_gradients(tmp_path):
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(distributed, (2, port, str(tmp_path)), nprocs=2)
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 1
