# Everything a fresh machine needs: `make demo` runs the main job, `make test` the tests.
# Each makes its own environment in .venv from the pinned versions in constraints.txt.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Quiet, and without a look for newer versions of pip itself. pip would compile one file after the other, for as long
# as it takes to install them; COMPILE does it on all processors. It fails where a package has files for other Pythons.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt
COMPILE := $(BIN)/python -m compileall -qq -j 0 -x '/tests?/' $(VENV)/lib vlmprobe || true

.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-postgres faults fuzz statistics breaks environments lint audit format clean

help: ## Show what there is to make
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) --editable .
	@$(COMPILE)
	@touch $@

$(VENV)/installed-dev: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) --editable '.[dev]'
	@$(COMPILE)
	@touch $(VENV)/installed $@

demo: $(VENV)/installed ## Install, then run five fine-tuning scales of a tiny model end to end
	$(BIN)/vlmprobe demo

test: $(VENV)/installed-dev ## Install, then run the tests (under five minutes)
	$(BIN)/python -m pytest -m "not full" -n 2

environments: $(VENV)/installed-dev ## Build the older Python environments that some tests run a model in
	$(BIN)/python tests/older_environment.py

# Not part of installed-dev: 'make test' does without Ray.
$(VENV)/installed-ray: $(VENV)/installed-dev
	$(PIP) --editable '.[dev,ray]'
	@$(COMPILE)
	@touch $@

test-all: environments $(VENV)/installed-ray ## The full suite: kill and resume, concurrency, clusters, a browser, packaging, older transformers (three quarters of an hour)
	.ci/slurm || true
	$(BIN)/python -m pytest -n 2
	if .ci/postgres; then VLMPROBE_TEST_POSTGRES=1 $(BIN)/python -m pytest -n 2 -m full $(POSTGRES_STORE); fi

# Of the store's tests those that use the fixture `database`; of the others those of each command, with every home on
# Postgres. What is marked of_a_file is left out.
POSTGRES_STORE := tests/store/postgres $(addprefix tests/store/test_,$(addsuffix .py,arrays image_swaps leaks metrics \
	parquet predictions quads run_parts runs units views))
POSTGRES_WORKFLOWS := tests/library $(addprefix tests/cli/test_,$(addsuffix .py,compare output sql_and_report)) \
	$(addprefix tests/study/test_,$(addsuffix .py,kept_robustness many_runs)) \
	$(addprefix tests/workflows/test_,$(addsuffix .py,analyze compare_controls controls exchange export_directions \
	import_home kill_and_resume leaks mlflow_delivery other_checkpoint over_templates parts plot quads reproduce robustness \
	round_trip templates verdict verify))

test-postgres: $(VENV)/installed-dev ## Store, workflows and queries on a Postgres of their own (initdb must be installed)
	VLMPROBE_TEST_POSTGRES=1 $(BIN)/python -m pytest -n 2 -m "not full" $(POSTGRES_STORE) $(POSTGRES_WORKFLOWS)

fuzz: $(VENV)/installed-dev ## More than 100,000 odd inputs for all readers, and what became of them
	$(BIN)/python -m tests.fuzz.run

statistics: $(VENV)/installed-dev ## Whether intervals cover and tests keep their level, in worlds whose truth is known (up to an hour)
	$(BIN)/python -m tests.statistics.run

breaks: $(VENV)/installed-dev ## Take out each correction of the statistics in a copy of the source: a test must fail
	$(BIN)/python -m tests.breaks.run

faults: $(VENV)/installed-dev ## Kills, full disks, lost servers, damage: 200 times and more, then many processes at once (over an hour)
	$(BIN)/python -m tests.faults.campaign
	$(BIN)/python -m tests.faults.units
	$(BIN)/python -m tests.faults.many --processes 12 --minutes 10
	$(BIN)/python -m tests.faults.many_hosts --hosts 3 --processes 6 --minutes 10

lint: $(VENV)/installed-dev ## ruff, mypy, import contracts, known vulnerabilities
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python .ci/audit.py

audit: $(VENV)/installed-dev ## Known vulnerabilities of the pinned versions, where the index can be asked
	$(BIN)/python .ci/audit.py

format: $(VENV)/installed-dev ## Bring the code into its format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove environments and caches, not data
	rm -rf $(VENV) .cache/environments .cache/statistics build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
