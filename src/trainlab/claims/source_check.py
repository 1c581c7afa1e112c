"""Whether what a claim measures is there: layers by their names, shifts within the image and the data.

A wrong name would be found once the claim's runs are done. Each distinct network is built once, on the meta
device, in a process of its own (`network_names`); torch is imported there.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from trainlab.claims.jobs import ClaimComposer
from trainlab.claims.registry import ClaimFile
from trainlab.claims.sources import (
    AnatomySource,
    BaseSource,
    FactSource,
    ProbeSource,
    ShiftSource,
    SignalSource,
    TheorySource,
    needs_statistics,
)
from trainlab.errors import RequestError, unknown_name
from trainlab.settings import Settings, settings_from_json
from trainlab.signals.catalogue import NETWORK
from trainlab.sweeps.forkserver import ForkServer

OF_BATCHNORM = ("batch_statistics", "recalibrated_statistics")
"""The shifts that are of a network with BatchNorm."""


class NetworkNames(NamedTuple):
    """What of a network can be named: layers with weights, layers as `trainlab anatomy` has them, modules."""

    weight_layers: Sequence[str]
    anatomy: Sequence[str]
    modules: Sequence[str]
    has_batchnorm: bool


def source_faults(entries: Sequence[ClaimFile], server: ForkServer) -> list[str]:
    """What these claims measure of layers, images and BatchNorm that their arms do not have, a line each."""
    composer = ClaimComposer()
    asked = [one for entry in entries for one in _asked_of_arms(entry, composer)]
    frozen = list(dict.fromkeys(settings.to_json() for _, _, settings in asked))
    names = dict(zip(frozen, server.call(network_names, frozen), strict=True)) if frozen else {}
    faults = []
    for place, sources, settings in asked:
        known = names[settings.to_json()]
        if isinstance(known, str):
            faults.append(f"{place}: {known}")
            continue
        found = (fault for source in sources for fault in _faults_of_source(source, settings, known))
        faults += [f"{place}: {fault}" for fault in dict.fromkeys(found)]
    return faults


def network_names(frozen: Sequence[str]) -> list[NetworkNames | str | None]:
    """The names of the network of each of these frozen settings; why it cannot be built; None where its input
    is known once the data have been read."""
    from trainlab.build.networks import MetaNetworks

    networks = MetaNetworks()
    found: dict[int, NetworkNames] = {}
    answers: list[NetworkNames | str | None] = []
    for settings in map(settings_from_json, frozen):
        try:
            network = networks.get(settings)
            if network is not None and id(network) not in found:
                found[id(network)] = _names(network, settings)
            answers.append(None if network is None else found[id(network)])
        except RequestError as error:
            answers.append(str(error))
    return answers


def _names(network: object, settings: Settings) -> NetworkNames:
    from torch import nn
    from torch.nn.modules.batchnorm import _BatchNorm

    from trainlab.build.networks import input_shape_CHW
    from trainlab.models import anatomy
    from trainlab.nn.layers import weight_layers

    assert isinstance(network, nn.Module)
    return NetworkNames(
        [name for name, _ in weight_layers(network)],
        list(dict.fromkeys(row.name for row in anatomy(network, input_shape_CHW(settings)))),
        [name for name, _ in network.named_modules() if name],
        any(isinstance(module, _BatchNorm) for module in network.modules()),
    )


def _asked_of_arms(
    entry: ClaimFile, composer: ClaimComposer
) -> Iterator[tuple[str, list[BaseSource], Settings]]:
    """What is measured of each arm that could lack it, in each profile that is run."""
    claim = entry.claim
    measured = [(source, one.arms()) for one in claim.expectations for source in one.sources()]
    measured += [(source, claim.arms_of(figure)) for figure in claim.figures for source in figure.sources()]
    by_arm: dict[str, list[BaseSource]] = {}
    for source, arms in measured:
        for part in source.parts():
            if _may_lack(part):
                for arm in arms:
                    by_arm.setdefault(arm, []).append(part)
    for profile in claim.profile_names:
        if claim.profile(profile).not_testable is None:
            for arm, sources in by_arm.items():
                place = f"claim {entry.name}, arm '{arm}', profile {profile}"
                yield place, sources, composer.settings(entry, profile, arm)


def _may_lack(source: BaseSource) -> bool:
    named = SignalSource | AnatomySource | TheorySource | FactSource
    if isinstance(source, named):
        return source.layer not in (None, NETWORK, "first", "last")
    return isinstance(source, ProbeSource | ShiftSource) or needs_statistics(source)


def _faults_of_source(source: BaseSource, settings: Settings, names: NetworkNames | None) -> Iterator[str]:
    if isinstance(source, ShiftSource):
        yield from _shift_faults(source, settings)
    if isinstance(source, FactSource):
        yield from _roll_faults(source.arguments, settings)
    if names is None:
        return
    kind, layer, available = _named_layer(source, names)
    if layer is not None and layer not in available:
        yield str(unknown_name(f"layer of {kind}", layer, available))
    asks_for_batchnorm = isinstance(source, ShiftSource) and source.name_and_amount[0] in OF_BATCHNORM
    if (asks_for_batchnorm or needs_statistics(source)) and not names.has_batchnorm:
        yield f"{source.kind}: the network has no BatchNorm"


def _named_layer(source: BaseSource, names: NetworkNames) -> tuple[str, str | None, Sequence[str]]:
    """What kind of source names which layer, and which it could name."""
    match source:
        case SignalSource():
            return f"signal {source.signal}", source.layer, names.weight_layers
        case TheorySource():
            return f"theory {source.theory}", source.layer, names.weight_layers
        case AnatomySource():
            return f"anatomy {source.anatomy}", source.layer, names.anatomy
        case ProbeSource():
            return "probe", source.probe.layer, ["input", "logits", *names.modules]
        case FactSource():
            return f"fact {source.fact}", source.layer, ["logits", *names.modules]
        case _:
            return source.kind, None, []


def _shift_faults(source: ShiftSource, settings: Settings) -> Iterator[str]:
    name, amount = source.name_and_amount
    size, images = settings.data.image_size, settings.data.train_size
    if isinstance(amount, Mapping):
        return
    if name == "translation" and (amount != int(amount) or (size is not None and abs(amount) >= size)):
        side = "" if size is None else f" under {size}, the side of the image"
        yield f"shift translation: got {amount:g}, expected whole pixels{side}"
    if name == "blur" and amount <= 0:
        yield f"shift blur: got {amount:g}, expected more than 0 pixels"
    if name == "batch_statistics" and amount < 2:
        yield f"shift batch_statistics: got {amount:g}, expected 2 images or more"
    if name == "recalibrated_statistics" and (amount < 2 or (images is not None and amount > images)):
        most = "or more" if images is None else f"to {images:,}, the training split"
        yield f"shift recalibrated_statistics: got {amount:,g} images, expected 2 {most}"


def _roll_faults(arguments: Mapping[str, float], settings: Settings) -> Iterator[str]:
    shift, size = arguments.get("shift", 0), settings.data.image_size
    if shift != int(shift) or (size is not None and abs(shift) >= size):
        side = "" if size is None else f" under {size}, the side of the image"
        yield f"fact: shift: got {shift:g}, expected whole pixels{side}"
