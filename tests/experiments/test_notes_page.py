"""What the notes get wrong: every command runs and shows the numbers of the text; no lesson is invented."""

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from experiments.notes.corrections import CORRECTIONS, FIGURES
from experiments.notes.facts import computed_facts
from experiments.notes.page import FOLDER, PAGE, lesson_line, missing_lessons, render_page

from trainlab.claims import registry
from trainlab.claims.claim_page import FIGURE_FILE

DATA = Path(os.environ.get("TRAINLAB_DATA", FOLDER.parents[1] / "shared" / "data")).absolute()
COMMANDS = sorted({correction.command for correction in CORRECTIONS})
NEEDS_DATA = pytest.mark.skipif(not (DATA / "MNIST").is_dir(), reason="no data sets (TRAINLAB_DATA)")


@pytest.fixture(scope="module")
def facts(tmp_path_factory):
    return computed_facts(DATA, tmp_path_factory.mktemp("cache"))


def output_of(command: str, folder: Path) -> str:
    words = [sys.executable, *shlex.split(command)[1:]]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_lesson_is_missing():
    assert missing_lessons() == []


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("trainlab claims run ")])
def test_a_command_that_runs_a_lesson_names_one(command):
    (name,) = command.removeprefix("trainlab claims run ").split()
    assert name in {correction.lesson for correction in CORRECTIONS if correction.command == command}
    assert name in registry.claim_names(FOLDER)


def test_every_command_is_of_a_kind_that_is_tested_here():
    assert all(c.startswith(("trainlab claims run ", "trainlab anatomy ", "python -c ")) for c in COMMANDS)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("trainlab anatomy ")])
def test_an_anatomy_shows_the_numbers(command, call_command, facts):
    code, out, _ = call_command(*shlex.split(command)[1:])
    assert code == 0
    for correction in (c for c in CORRECTIONS if c.command == command):
        for name in re.findall(r"\{(\w+)\}", correction.so):
            value = facts[name].replace(" × ", "×")
            if "×" in value or name in ("vgg_parameters", "first_maps", "last_maps"):
                assert value in out, f"{name}={value}"


def test_python_counts_the_parameters(facts, tmp_path):
    kernel, batchnorm = (c for c in COMMANDS if c.startswith("python -c") and "torch" in c)
    if "BatchNorm" in kernel:
        kernel, batchnorm = batchnorm, kernel
    counted = [f"{number:,}" for number in ast.literal_eval(output_of(kernel, tmp_path))]
    assert counted == [facts["kernel_3"], facts["kernel_224"]]
    assert output_of(batchnorm, tmp_path).strip() == facts["batchnorm_parameters"]


@NEEDS_DATA
def test_python_reads_the_mean_and_the_standard_deviation(facts, tmp_path):
    (command,) = (c for c in COMMANDS if "load_images" in c)
    (tmp_path / "data").symlink_to(DATA)
    mean, std = re.findall(r"0\.\d+", output_of(command, tmp_path))
    assert (f"{float(mean):.4f}", f"{float(std):.4f}") == (facts["mnist_mean"], facts["mnist_std"])
    assert facts["mnist_mean"] == "0.1307" and facts["mnist_std"] == "0.3081"  # as the world knows them


@NEEDS_DATA
def test_the_page_is_what_the_records_say(facts):
    assert render_page(facts) == PAGE.read_text(encoding="utf-8"), "python -m experiments.notes writes it"


def test_figures_that_are_named_are_of_the_lesson_beside_them():
    for correction in CORRECTIONS:
        assert correction.figure is None or correction.figure.startswith(f"{correction.lesson}/")


@pytest.mark.parametrize("figure", [figure for _, figure in FIGURES])
def test_a_figure_of_the_notes_is_shown_by_its_lesson(figure):
    name, _, file = figure.partition("/")
    (entry,) = (e for e in registry.load_claims(FOLDER) if e.name == name)
    assert file in {FIGURE_FILE, *entry.claim.picture_files()}


def test_a_lesson_that_is_not_there_is_not_run_yet():
    assert lesson_line("no-such-lesson") == "The lesson `no-such-lesson`: not run yet."
