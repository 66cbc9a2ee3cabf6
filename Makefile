# arnode's two commands are `make start` and `make test`; the rest are their parts.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# With this set, each of the many processes of a node would compile all of arnode for itself.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: setup start test check suite quick durations demo bench soak gpu fake-gpu

setup: $(VENV)/.installed
	@./setup-system
	@$(if $(filter setup,$(MAKECMDGOALS)),echo "arnode is installed in $(VENV). Next: make start (or . $(BIN)/activate; then arnode help)")

# Runtime and test dependencies at the versions of constraints.txt, in one place next to the code. With
# an NVIDIA driver, the fitting build of torch is installed first; without one, that step is silent.
$(VENV)/.installed: pyproject.toml constraints.txt network.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "arnode needs Python 3.11 or newer; $(PYTHON) is older."; \
	    echo "Install one and name it: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@test -d $(VENV) || { echo "Making $(VENV) …"; $(PYTHON) -m venv $(VENV); } || \
	  { echo "Install your distribution's package python3-venv, then try again."; exit 1; }
	@./setup-system
	@echo "Installing the versions of constraints.txt (one to three minutes) …"
	@$(BIN)/python -m trainer.cards.install_torch --constraints constraints.txt --kept $(VENV)/constraints.txt
	@$(BIN)/python -m pip install --quiet --progress-bar on --constraint $(VENV)/constraints.txt --editable '.[dev]'
	@$(BIN)/python -m pip install --quiet --no-deps --use-pep517 --constraint $(VENV)/constraints.txt --requirement network.txt
	@touch $@

start: setup
	@$(BIN)/arnode start

demo: setup
	@$(BIN)/arnode demo

# The checks come first: during the tests they would take a core from them.
test: check suite

# WORKERS files at a time, the longest first (tests/longest_first.py). ARGS go to pytest.
suite: setup
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

# The tests nearest to what was changed, in three minutes at most. ARGS=--since=COMMIT, or paths.
quick: setup
	@$(BIN)/python -m tools.quick $(ARGS)

# Record how long each file takes, for `suite`: run it after tests became much longer or shorter.
durations: setup
	@$(MAKE) --no-print-directory suite ARGS=--keep-durations

# mypy runs in one process: its workers must start within three seconds, too short on a busy machine.
check: setup
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

# PART=decisions|programs|instances|timing|counting|rerunning|swarm|ladder|stopping|explore|repeats|loads|looping|
# lanes|pipeline|records|syncing|peers|crowding|network|prompts, else all; figures are kept in docs/bench.json.
bench: setup
	@$(BIN)/python -m tools.bench $(PART)

# PART=compare|noise|pipeline, figures of this machine's card in build/gpu/PART.json, after the
# self-test; compare if none is named; without a card at toy size. It sets up no environment,
# since a machine with a lent card may have no network to install one from.
gpu:
	@$(PYTHON) -m tools.gpu $(PART) $(ARGS)

# PART=sizes|attention|changes|scripts, else all: scripts on cards that are not there, in an environment
# of its own (3 GB to fetch, once); processor: torch's CUDA build without a card. Figures are kept
# in docs/fake-gpu.json.
fake-gpu: setup
	@$(BIN)/python -m tools.fake_gpu $(PART) $(ARGS)

# PART=tests|night|text|aa|kills|ingest|hostile|forks|bits|fuzz|gossip|traffic|meeting|fleet|together|try|verify|
# planted|liars|hyperparameters|model|programs|several|first|page|watched|stopping|ladder|example-TASK; figures are appended
# to docs/soak.jsonl.
soak: setup
	@$(BIN)/python -m tools.soak $(PART)
