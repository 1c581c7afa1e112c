"""A user's own ./conf: presets that say where they act, and files that cannot be read, in one line."""

from pathlib import Path

import pytest

from trainlab.config import compose
from trainlab.config.options import catalogue
from trainlab.config.presets import add_preset_launcher
from trainlab.errors import RequestError

PLAN = ("sweep.plan_only=true", "logger=none")


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Writes an option of the user's and makes its folder the current one."""
    monkeypatch.chdir(tmp_path)

    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / "conf" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.mark.parametrize("before", ["# Mine\n# @package _global_\n", "", "# @package experiment\n"])
@pytest.mark.parametrize("axis", ["experiment", "debug"])
def test_a_preset_that_would_act_on_nothing_is_refused(own, axis, before):
    path = own(f"{axis}/mine", f"{before}seed: 5\n".replace("@package experiment", f"@package {axis}"))
    with pytest.raises(
        RequestError, match=f"^{axis}=mine: .*'# @package _global_' as the first line of {path}"
    ):
        compose([f"{axis}=mine"])


@pytest.mark.parametrize("before", ["# @package _global_\n# Mine\n", "\n\n#  @package   _global_\n"])
def test_a_preset_acts_wherever_hydra_reads_its_package(own, before):
    own("experiment/mine", f"{before}seed: 5\n")
    assert compose(["experiment=mine"]).seed == 5


def test_a_sweep_refuses_it_too(own, call_command):
    own("experiment/mine", "seed: 5\n")
    code, _, said = call_command("train", "-m", "experiment=mine", "width=4,8", *PLAN)
    assert code == 2 and "as the first line of" in said and said.count("\n") == 1


BROKEN = {
    "no YAML": ("a: [b\n", "not YAML"),
    "no UTF-8": ("# café\n".encode("latin-1") + b"_target_: torch.nn.ReLU\n", "not UTF-8 text"),
    "a list": ("- a\n", "expected a valid dictionary"),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("sweep", [(), ("-m",)])
def test_a_file_that_cannot_be_read_is_named_in_one_line(own, call_command, name, sweep):
    content, said = BROKEN[name]
    own("activation/mine", content)
    options = "mine,relu" if sweep else "mine"
    code, _, error = call_command("train", *sweep, f"activation={options}", *PLAN)
    assert code == 2 and said in error and error.count("\n") == 1
    assert "mine" in error or name == "a list"
    # what does not need it goes on
    assert compose(["activation=relu"]).axes["activation"] == "relu"
    assert set(catalogue("activation")) >= {"mine", "relu"}


def test_a_name_of_digits_in_a_preset_is_text(own):
    own("experiment/mine", "# @package _global_\ngroup: 2026\nresume: 1234\n")
    settings = compose(["experiment=mine"])
    assert (settings.group, settings.resume) == ("2026", "1234")
    own("experiment/lossy", "# @package _global_\nresume: 1234.5e9\n")
    with pytest.raises(RequestError, match=r"resume=1234500000000\.0: expected text: put it in quotes"):
        compose(["experiment=lossy"])


# What a preset says of sweeps

LAUNCHER = "# @package _global_\ndefaults:\n  - override /hydra/launcher: submitit_local\nseed: 3\n"
SLOTS = "# @package _global_\nhydra: {launcher: {slots: 1}}\n"
GRID = "# @package _global_\nhydra: {sweeper: {params: {seed: '1,2'}}}\n"
TIMEOUT = "# @package _global_\nsweep: {run_timeout: 5}\n"


def test_a_presets_launcher_is_taken_unless_another_is_named(own):
    own("experiment/mine", LAUNCHER)
    assert add_preset_launcher(["experiment=mine"])[-1] == "hydra/launcher=submitit_local"
    assert add_preset_launcher(["experiment=mine", "hydra/launcher=ray"])[-1] == "hydra/launcher=ray"
    assert add_preset_launcher(["seed=1"]) == ["seed=1"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (LAUNCHER, "a launcher"),
        (SLOTS, "a launcher"),
        (GRID, "a grid of its own"),
        (TIMEOUT, "settings"),
    ],
)
def test_presets_that_say_how_a_sweep_goes_are_not_swept_over(own, call_command, content, said):
    own("experiment/mine", content)
    own("experiment/other", "# @package _global_\nseed: 4\n")
    code, _, error = call_command("train", "-m", "experiment=other,mine", *PLAN)
    assert code == 2 and f"mine brings {said}" in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (LAUNCHER, "hydra/launcher=submitit_local"),
        (GRID, "the preset's grid (seed)"),
        (TIMEOUT, "sweep.run_timeout=5"),
    ],
)
def test_a_single_run_does_not_overlook_what_is_for_sweeps(own, call_command, content, said):
    own("experiment/mine", content)
    code, out, error = call_command("train", "experiment=mine", *PLAN)
    assert (code, out) == (2, "") and error == f"trainlab: {said}: for sweeps only; add -m, or leave it out\n"


@pytest.mark.parametrize("word", ["hydra/launcher=ray", "hydra.launcher.slots=2", "sweep.run_timeout=60"])
def test_neither_does_it_on_the_command_line(call_command, word):
    code, _, error = call_command("train", word, *PLAN)
    assert code == 2 and word in error and "add -m" in error and error.count("\n") == 1


@pytest.mark.parametrize("flag", [("--cfg", "job"), ("--info",)])
def test_a_look_at_the_configuration_is_not_a_sweep(call_command, flag):
    code, _, error = call_command("train", *flag, "-m")
    assert code == 2 and "no -m" in error and error.count("\n") == 1
