# Every habit of the project. `make help` lists them.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
CONFIG ?= configs/cartpole.toml
ARGS   ?=
# Tests that start processes of their own want a core each; many wait, so two cores take three.
JOBS   ?= $(shell n=$$(nproc 2>/dev/null || echo 2); [ $$n -gt 6 ] && echo $$((n / 2)) || echo 3)

SEEDS  ?= 1 2 3
MINUTES ?= 30

.PHONY: help env run test learn parity stress faults soak diagnose-matrix check format bench bench-peers bench-tui
.DEFAULT_GOAL := help

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 17

env: $(VENV)/.installed ## make .venv with the tested versions

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

run: env ## train CartPole and watch it, seconds (CONFIG=..., ARGS="--set run.total_steps=2000000": minutes)
	$(BIN)/tuitrain launch $(CONFIG) $(ARGS)

test: env ## the tests (minutes; with tmux and chromium installed those of terminal and browser too)
	$(BIN)/python -m pytest -m "not long" -n $(JOBS) --dist loadgroup $(ARGS)

learn: env ## CartPole in every schedule, with controls that must not learn (10 minutes and more)
	$(BIN)/python -m pytest -m long tests/learning -v $(ARGS)

parity: env ## docs/parity.md's proof: async against sequential on four tasks, with controls (an hour of 2 cores; goes on where it was stopped)
	$(BIN)/python -m tests.parity.study $(ARGS)

stress: env ## what is too slow for `make test`: replay, lock, weights and limiter under fire, whole runs failing in every way (40 minutes)
	$(BIN)/python -m pytest -m long tests --ignore tests/learning -v -n $(JOBS) --dist loadgroup $(ARGS)

faults: env ## every role, at every moment, broken in every way: 1,000 cases for each of three seeds (SEEDS=..., goes on where it was stopped), and docs/reliability.md
	$(BIN)/python -m tests.faults $(SEEDS:%=--seed %) $(ARGS)
	$(BIN)/python -m tests.faults --table

soak: env ## `async` with an actor killed every few seconds, for MINUTES beside an undisturbed run
	$(BIN)/python -m tests.faults.soak --minutes $(MINUTES) $(ARGS)

diagnose-matrix: env ## a fault in a real run for every check, and runs without one; the table in docs/catalogue.md (15 minutes)
	$(BIN)/python -m tests.diagnosis $(ARGS)

check: env ## ruff, format, mypy --strict, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: env ## let ruff put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: env ## measure speed as ratios; figures go into benchmarks/README.md
	$(BIN)/python -m benchmarks.run $(ARGS)

bench-tui: env ## what the terminal UI costs, against its budget, and what clients cost a run; figures go into benchmarks/README.md (30 minutes)
	$(BIN)/python -m benchmarks.tui $(ARGS)
	$(BIN)/python -m benchmarks.sight
	$(BIN)/python -m benchmarks.watchers

bench-peers: .venv-peers/.installed ## make .venv-peers with the libraries that we measure against

.venv-peers/.installed: benchmarks/peers.txt
	$(PYTHON) -m venv .venv-peers
	@# all at once; where one of them cannot be had, the others one by one
	.venv-peers/bin/python -m pip install --quiet --requirement benchmarks/peers.txt \
	|| for one in $$(grep -v '^#' benchmarks/peers.txt); do \
	  .venv-peers/bin/python -m pip install --quiet --constraint benchmarks/peers.txt $$one \
	  || echo "bench-peers: $$one cannot be installed here; its arms are left out"; done
	.venv-peers/bin/python -m pip install --quiet --no-deps --editable .
	@touch $@
