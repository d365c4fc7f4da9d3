# Everything the project needs on a fresh machine: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Processes of tests that run side by side, each on one thread; tests of the page wait much, so two cores carry four.
JOBS ?= 4
# Compiled modules are kept even where the environment says otherwise: many tests start interpreters of their own.
# Temporary stores lie in memory where there is enough of it: tests then do not wait for the disk to keep what they throw away.
SHM := $(shell [ "$$(df -k --output=avail /dev/shm 2>/dev/null | tail -n 1)" -gt 8000000 ] 2>/dev/null && echo PYTEST_DEBUG_TEMPROOT=/dev/shm)
PYTEST = $(SHM) PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

.PHONY: run test test-all check browser lock clean

run: $(VENV)/run.stamp
	$(BIN)/python app.py $(ARGS)

# What a change needs. CI_ALL=1 adds the slow tests, as `make test-all` does.
test: $(VENV)/dev.stamp browser
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) $(if $(CI_ALL),,-m "not slow") $(ARGS)

# Crash matrices, several processes, exports of all architectures and real training runs as well.
test-all:
	$(MAKE) test CI_ALL=1

# The quick half of `make test`: no browser.
check: $(VENV)/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) -m "not ui and not slow" $(ARGS)

# Debian's Chromium for the tests of the page. Where it cannot be installed the tests say so and skip; in CI they fail.
browser:
	@sh .ci/install-browser

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, this is %d.%d. Name one: make PYTHON=python3.12 ..." % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: requirements.txt | $(BIN)/python
	$(BIN)/pip install --quiet -r requirements.txt
	@touch $@

$(VENV)/dev.stamp: requirements.txt requirements-dev.txt | $(BIN)/python
	$(BIN)/pip install --quiet -r requirements-dev.txt
	@touch $@ $(VENV)/run.stamp

# torch and what only its CUDA build requires.
CUDA := $(addprefix nvidia-,cublas cuda-cupti cuda-nvrtc cuda-runtime cudnn-cu13 cufft cufile curand cusolver cusparse \
    cusparselt-cu13 nccl-cu13 nvjitlink nvshmem-cu13 nvtx) cuda-bindings cuda-pathfinder cuda-toolkit triton

# Pins what requirements.txt needs, with the hashes of all files of each version, for Python 3.11 on Linux. torch and CUDA are
# left out: each machine has its own build of them, which is installed first. Then:
# `pip install --no-deps --require-hashes -r requirements.lock`.
lock: | $(BIN)/python
	$(BIN)/python -m venv $(VENV)/lock
	$(VENV)/lock/bin/pip install --quiet "uv>=0.9,<1"
	$(VENV)/lock/bin/uv pip compile requirements.txt --quiet --upgrade --generate-hashes --python-version 3.11 \
	    --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
	    $(addprefix --no-emit-package ,torch $(CUDA)) --output-file requirements.lock
	rm -r $(VENV)/lock

clean:
	rm -rf $(VENV)
