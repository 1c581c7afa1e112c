"""From what the proof kit measured on a card to the time of other networks; files that are none of it."""

import json
import os
from pathlib import Path

import pytest
from rates_file import RATES, write_rates

from trainlab.claims import card_rates
from trainlab.claims.card_rates import CardTimes, read_rates
from trainlab.claims.training_work import NetworkSize, TrainingWork, network_sizes, training_work
from trainlab.errors import RequestError

SIZES = {"LeNet-5": NetworkSize(400_000, 5), "plain_cnn": NetworkSize(4_000_000, 5)}


@pytest.fixture
def rates(tmp_path):
    return read_rates(write_rates(tmp_path / "a-card.json"))


@pytest.fixture
def times(rates):
    return CardTimes(rates, SIZES)


def work(size: NetworkSize, steps: int = 1000, batch_size: int = 128) -> TrainingWork:
    return TrainingWork(steps, batch_size, size)


def test_the_networks_are_those_of_the_kit():
    from benchmarks.gpu import catalogue, lab, networks_per_second, step_time

    assert lab.NETWORKS == card_rates.MEASURED_NETWORKS
    assert step_time.BATCH_SIZE == card_rates.BATCH_SIZE
    assert networks_per_second.STEPS == card_rates.STEPS_OF_NETWORK
    assert {"card", "networks/s", "step and memory", "sweeps"} <= {item.name for item in catalogue.ITEMS}


def test_rates_are_read_as_the_kit_writes_them(rates):
    assert rates.card == "A Card 80GB"
    assert rates.product_flops == 400e12
    # with a graph where that was measured, the middle of the rounds, all runs of a stack together
    assert rates.steps["LeNet-5"] == {1: 1 / 4000, 8: 8 / 18_000, 32: 32 / 40_000}
    assert rates.steps["plain_cnn"] == {1: 1 / 500, 32: 32 / 10_000}
    # a single run of a whole sweep had no graph: 3 s less 1000 steps of 1 ms
    assert rates.start_seconds == pytest.approx({1: 2.0, 32: 0.1})


@pytest.mark.parametrize(("name", "runs"), [("LeNet-5", 1), ("LeNet-5", 8), ("plain_cnn", 32)])
def test_a_measured_network_has_its_measured_time(rates, times, name, runs):
    assert times.step_seconds(work(SIZES[name]), runs) == pytest.approx(rates.steps[name][runs])


def test_between_two_stacks_it_is_between_their_times(times):
    steps = [times.step_seconds(work(SIZES["LeNet-5"]), runs) for runs in (8, 12, 20, 32)]
    assert steps == sorted(steps) and len(set(steps)) == 4


def test_above_what_was_measured_time_grows_with_the_work(times):
    large = NetworkSize(100 * SIZES["plain_cnn"].multiply_adds, 5)
    assert times.step_seconds(work(large), 32) == pytest.approx(100 * 32 / 10_000)
    assert times.step_seconds(work(large, batch_size=256), 32) == pytest.approx(200 * 32 / 10_000)


def test_a_small_network_waits_for_its_launches(times):
    assert times.step_seconds(work(NetworkSize(100, 5), batch_size=1), 1) == pytest.approx(1 / 4000)
    assert times.step_seconds(work(NetworkSize(100, 50), batch_size=1), 1) == pytest.approx(10 / 4000)


def test_a_run_is_its_steps_and_its_start(times):
    lenet = SIZES["LeNet-5"]
    assert times.seconds(work(lenet, steps=8000), 1) == pytest.approx(8000 / 4000 + 2.0)
    assert times.seconds(work(lenet, steps=1000), 32) == pytest.approx(0.8 + 32 * 0.1)
    assert times.seconds(work(lenet, steps=0), 128) == pytest.approx(128 * 0.1)


def test_without_whole_sweeps_starts_are_not_known(tmp_path):
    rates = read_rates(write_rates(tmp_path / "card.json", sweeps=()))
    assert rates.start_seconds == {}
    assert CardTimes(rates, SIZES).seconds(work(SIZES["LeNet-5"], steps=0), 1) == 0.0


def test_one_network_is_enough_and_rounds_that_say_nothing_are_left_out(tmp_path):
    some = {"LeNet-5": {"one after the other": [1.0, None, 0.0, "NaN"], "stack of 8": []}}
    assert read_rates(write_rates(tmp_path / "card.json", some)).steps == {"LeNet-5": {1: 1 / 1000}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        ("{", "it is no JSON"),
        ("[]", "no record of schema 1"),
        ('{"schema": 2, "items": []}', "no record of schema 1"),
        ('{"schema": 1, "items": {}}', "no record of schema 1"),
        ('{"schema": 1, "device": "cpu", "items": []}', "device=cpu, a dry run"),
        ('{"schema": 1, "device": "gpu", "items": [1, null]}', "no networks per second of LeNet-5"),
        (json.dumps({"schema": 1, "device": "gpu", "items": [{"name": "networks/s", "details": 3}]}),
         "no networks per second"),
    ],
)  # fmt: skip
def test_any_other_file_is_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "other.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(RequestError) as refusal:
        read_rates(path)
    assert message in str(refusal.value) and "make gpu-check" in str(refusal.value)
    assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_no_file_of_rates(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RequestError, match="no regular file"):
        read_rates(tmp_path / "pipe")


def test_work_is_what_the_run_will_do(settings):
    from trainlab.build.data import load_data
    from trainlab.build.optimizer import total_steps

    runs = [settings(), settings("data.train_size=64", "trainer.max_epochs=3"), settings("depth=3")]
    found = training_work(runs)
    assert [one.steps for one in found] == [total_steps(run, load_data(run)) for run in runs]
    assert found[1].steps == 6 and found[0].batch_size == 32
    assert found[2].network.layers == found[0].network.layers + 1
    assert found[0].flops == 6 * found[0].steps * 32 * found[0].network.multiply_adds


def test_multiply_adds_are_those_of_the_table_of_layers():
    from trainlab.config import compose

    [lenet, plain] = network_sizes([compose(list(words)) for words in card_rates.MEASURED_NETWORKS.values()])
    # 5 × 5 on 28 × 28, 5 × 5 on 10 × 10, 400 to 120, 84, 10
    expected = 6 * 25 * 28**2 + 16 * 150 * 10**2 + 400 * 120 + 120 * 84 + 84 * 10
    assert lenet == NetworkSize(expected, 5)
    assert plain.layers == 5 and plain.multiply_adds > 5 * lenet.multiply_adds
    assert set(RATES) == set(card_rates.MEASURED_NETWORKS)


def test_rates_that_were_measured_on_a_card_are_read():
    """The recorded files, as the kit of their time wrote them."""
    files = sorted(Path("benchmarks/results/gpu").glob("*.json"))
    assert files
    for file in files:
        rates = read_rates(file)
        assert set(rates.steps) == {"LeNet-5", "plain_cnn"}
        assert all(seconds > 0 for ways in rates.steps.values() for seconds in ways.values())
