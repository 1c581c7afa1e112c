# `make help` lists what can be made. Everything runs in .venv, which `make setup` fills.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
EXTRAS := app,ray,slurm,dev

.DEFAULT_GOAL := help
.PHONY: help setup demo quick test test-all lint format bench gpu-check app results picture reproduce reproduce-papers grid forecast gpu-plan report clean

help:  ## list the targets
	@grep -E '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z%-]+):.*## (.*)/  make \1 \t\2/' | expand -t 20

setup: .venv/installed  ## create .venv and install, with the extras app, ray, slurm and dev

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRAS)]'
	@touch $@

demo: setup  ## four small runs on embedded digits, the table, and what to try next (2 minutes)
	$(BIN)/python train.py -m experiment=demo activation=sigmoid,relu init=glorot,kaiming
	@echo
	@echo 'Each run is a folder under runs/ with its settings, curves, confusion matrix and checkpoint.'
	@echo 'Try next (source .venv/bin/activate first):'
	@echo '  python train.py -m experiment=demo activation=sigmoid,relu norm_layer=none,batchnorm   what BatchNorm mends'
	@echo '  python train.py -m experiment=demo init=glorot,kaiming optimizer=adam optimizer.lr=1e-3   what Adam mends'
	@echo '  trainlab runs list      trainlab explain RUN      trainlab claims list      trainlab options activation'

quick: setup lint  ## lint, types, and the tests of what changed, within a minute
	$(BIN)/python -m pytest --time-budget 30 $$($(BIN)/python tests/quick.py)

test: setup lint  ## lint, type check and the default tests, offline, under 8 minutes
	$(BIN)/python -m pytest

test-all: setup lint  ## the default tests and the slow ones
	HYPOTHESIS_PROFILE=search $(BIN)/python -m pytest -m ''

lint: setup  ## ruff and the type checker
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyrefly check

format: setup  ## put the code into its standard form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup  ## measure the platform against hand-written loops; JSON into benchmarks/results
	$(BIN)/python -m benchmarks

gpu-check: setup  ## prove and measure every GPU path, in 8 minutes on a card; DEVICE=cpu: the dry run
	$(BIN)/python -m benchmarks gpu --device $(or $(DEVICE),gpu) --seconds $(or $(SECONDS),$(if $(filter cpu,$(DEVICE)),1500,480))

app: setup  ## the web app on this machine: compare, look inside, claims, draw and predict
	$(BIN)/trainlab app

results: setup  ## run what the README's figures come from (about an hour on 2 cores)
	$(BIN)/python -m experiments.readme --run

reproduce: setup  ## run every claim of the course and write its page (about 40 minutes on 2 cores)
	$(BIN)/trainlab claims run --collection course
	$(BIN)/python -m experiments.readme

reproduce-papers: setup  ## run every claim of the papers and write its page (at most 25 minutes on 2 cores)
	$(BIN)/trainlab claims run --collection papers
	$(BIN)/python -m experiments.readme

reproduce-%: setup  ## run one claim: make reproduce-lenet5-anatomy
	$(BIN)/trainlab claims run $*

forecast: setup  ## ask the forecast of every run of claims and grid in runs/, and write experiments/forecast
	$(BIN)/python -m experiments.forecast measure
	$(BIN)/python -m experiments.forecast write

grid: setup  ## five axes at once: what matters, what interacts, which rules hold (20 minutes on 2 cores)
	$(BIN)/python -m experiments.grid --run

gpu-plan: setup  ## what all claims take on a GPU: experiments/gpu_plan, times by benchmarks/results/gpu
	$(BIN)/python -m experiments.gpu_plan

report: setup  ## one page of course, papers and grid: experiments/claims.html
	$(BIN)/trainlab claims report

clean:  ## remove .venv, runs and decoded images
	rm -rf .venv runs cache
