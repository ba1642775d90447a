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

.PHONY: help setup demo test check unit test-slow fuzz test-triton bench clean
help:
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 22

$(STAMP): pyproject.toml setup.py constraints.txt $(wildcard csrc/*)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet $(PIP_ARGS) torch==2.13.0
	$(BIN)/pip install --quiet $(PIP_ARGS) --editable '.[test,demo]'
	$(BIN)/python -c "import rsfast._C, rsfast.kernels.perturb, rsfast.kernels.votes"
	touch $@

setup: $(STAMP) ## environment with the extension built

demo: setup ## train on handwritten digits, certify 200 images, write a report into runs/demo
	$(BIN)/rsfast demo --out runs/demo

test: setup check unit ## everything that CI checks

check: setup ## ruff, mypy, import linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
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
	  PYTHONPATH=$(VENV)/triton-$$version $(BIN)/python -m pytest -q tests/backends tests/kernels -k "triton or kernel" || exit 1; \
	done

bench: setup ## every benchmark, rows into bench/results
	$(BIN)/python -m bench

MAIN_JOB := show-noise-path show-votes show-confidence show-overhead show-draws show-kills show-published-logs \
            show-kernel-resources show-fresh-clone show-edges
STATISTICS := show-tails dieharder
NUMERICS := show-ncx2-accuracy show-input-dependent show-ncx2-speed show-input-dependent-speed
CERTIFICATES := show-certificates show-certificates-speed
ENGINE := show-noises show-inference show-end-to-end show-memory show-dropin
PLANS := show-plan-guarantees show-plan-savings show-plan-halves show-plan-speed
DUAL := show-dual show-dual-speed show-neighbors show-smoothings show-idrs-toy
.PHONY: show-main-job show-numerics show-all-certificates show-dual-and-input-dependent show-engine show-plans \
        $(MAIN_JOB) $(STATISTICS) $(NUMERICS) $(CERTIFICATES) $(DUAL) $(ENGINE) $(PLANS)

show-main-job: $(MAIN_JOB) ## what bench/README.md lists of noise, counting, runs
show-numerics: $(NUMERICS) ## of special functions and input-dependent certificates
show-all-certificates: $(CERTIFICATES) ## of the certificate library
show-dual-and-input-dependent: $(DUAL) ## of dual and input-dependent smoothing

show-engine: $(ENGINE) ## of other noises and of the prepared forward pass
show-plans: $(PLANS) ## of plans that draw fewer samples

show-noise-path show-votes show-confidence show-overhead show-noises show-inference show-end-to-end: show-%: setup
	$(BIN)/python -m bench $*

show-ncx2-speed show-input-dependent-speed show-certificates-speed show-dual-speed: show-%-speed: setup
	$(BIN)/python -m bench $*

show-ncx2-accuracy: setup
	$(BIN)/python -m bench.show_ncx2

show-input-dependent: setup
	$(BIN)/python -m bench.show_input_dependent

show-certificates: setup
	$(BIN)/python -m bench.show_certificates

show-dual: setup
	$(BIN)/python -m bench.show_dual

show-plan-guarantees: setup
	$(BIN)/python -m bench.show_plans

show-plan-halves: setup
	$(BIN)/python -m bench.show_plan_halves

show-plan-speed: setup
	$(BIN)/python -m bench.show_plan_speed

show-plan-savings: setup
	$(BIN)/python -m bench.show_savings

show-dropin: setup
	$(BIN)/python -m bench.show_dropin

show-memory: setup
	$(BIN)/python -m bench.show_memory

show-neighbors: setup
	$(BIN)/python -m bench.show_neighbors

show-smoothings: setup
	$(BIN)/python -m bench.show_smoothings

show-idrs-toy: setup
	$(BIN)/python -m bench.show_toy

show-draws: setup
	$(BIN)/python -m bench.show_draws

show-tails: setup
	$(BIN)/python -m bench.show_tails

dieharder: setup ## the generator's words through dieharder, nightly (apt-get install dieharder)
	$(BIN)/python -m bench.dieharder

show-kills: setup
	$(BIN)/python -m bench.show_kills

show-edges: setup ## kinds of input that were once answered wrongly, kills, the cost of status
	$(BIN)/python -m bench.show_edges

show-published-logs: setup
	$(BIN)/python -m bench.show_published

show-kernel-resources: setup
	$(BIN)/python -m bench.kernel_resources

show-fresh-clone: setup
	$(BIN)/python -m bench.show_fresh_clone

clean: ## remove the environment and everything that was built
	rm -rf $(VENV) build dist rsfast.egg-info rsfast/_C*.so rsfast/_build.json
