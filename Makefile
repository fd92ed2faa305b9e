# Targets set up .venv by themselves when it is missing or older than pyproject.toml.
# `make PYTHON=/path/to/python3.12 demo` picks the interpreter that .venv is made with, and
# `make CPU=1 setup` takes torch without CUDA libraries, where the index that pip uses has it.

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
READY  := $(VENV)/.ready

# Tests run in as many processes as there are cores, of one thread each: threads of two would only
# be in each other's way. A file of tests stays in one process, whose fixtures it shares; files
# begin in the order of tests/conftest.py.
PYTEST := OMP_NUM_THREADS=1 $(PY) -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder

# $(call cpu_build,package): its newest version without CUDA libraries, or nothing
cpu_build = $$($(PY) -m pip index versions $(1) 2>/dev/null | grep -o '[0-9.]*+cpu' | head -n 1)

ifdef CPU
TORCH = { torch="$(call cpu_build,torch)"; vision="$(call cpu_build,torchvision)"; \
	  if [ -z "$$torch" ] || [ -z "$$vision" ]; then \
	    echo "the index in use has no CPU builds of both torch and torchvision:" \
	         "give pip PyTorch's own index of them, or leave out CPU=1" >&2; exit 1; \
	  fi; $(PY) -m pip install --quiet "torch==$$torch" "torchvision==$$vision"; }
SIZE := about 300 MB
else
TORCH = true
SIZE := torch for CUDA, about 6 GB; 1 to 2 minutes on a fast line
endif

# $(call timed,what it does,command): says what runs, and how long it took
timed = @echo "== $(1)"; start=$$(date +%s); $(2) && echo "== done in $$(( $$(date +%s) - start )) s"

.DEFAULT_GOAL := help
.PHONY: help setup install demo test test-all lint types check bench faults fuzz mutants soak sizes predict docs clean

help:
	@echo "make demo      make a small clip, upscale it, and show the result beside the original"
	@echo "make test      run the tests of a few seconds each"
	@echo "make test-all  run every test that needs no GPU"
	@echo "make check     lint, types and every test that needs no GPU"
	@echo "make setup     only create .venv; the other targets do it when needed"
	@echo "make bench     measure speed; options through ARGS='...'"
	@echo "make faults    kill, starve, unplug and damage jobs, and see that they come to the same frames"
	@echo "make fuzz      read and upscale broken files of every kind, and see that each ends well"
	@echo "make mutants   break one line at a time, and see that a test notices"
	@echo "make soak      upscale 10,000 frames, and see that memory does not grow"
	@echo "make sizes     upscale sources of all sizes in 8 GB, and compare memory with the plan"
	@echo "make predict   hold predicted time, size and memory against what jobs took"
	@echo "make docs      write references anew, from the program, and a site of docs/ in site/"
	@echo "make train-X   train X; options through ARGS='...'"
	@echo "make clean     remove caches and build products; keeps .venv and runs/"

setup install: $(READY)

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "vsr needs Python 3.11 or newer, this is $$($(PYTHON) --version 2>&1);" \
	       "try \`make PYTHON=python3.12 $(MAKECMDGOALS)\`" >&2; exit 1; }
	$(call timed,setting up $(VENV); the first time this downloads much ($(SIZE)), \
	{ test -x $(PY) || $(PYTHON) -m venv $(VENV); } && $(TORCH) && \
	$(PY) -m pip install --quiet --disable-pip-version-check -e '.[dev]' && touch $@)

demo: $(READY)
	$(call timed,making and upscaling a one-second clip in demo/,$(VENV)/bin/vsr demo --out demo -y)

test: $(READY)
	$(call timed,running the tests,$(PYTEST) $(ARGS))

test-all: $(READY)
	$(call timed,running every test that needs no GPU,$(PYTEST) -m "not gpu and not huge" \
	  --durations 15 --durations-min 10 $(ARGS))

lint: $(READY)
	$(call timed,checking style,$(PY) -m ruff check . && $(PY) -m ruff format --check .)

types: $(READY)
	$(call timed,checking types,$(PY) -m mypy)

check: lint types test-all

bench: $(READY)
	$(call timed,measuring speed,$(VENV)/bin/vsr bench $(ARGS))

faults fuzz mutants soak sizes predict: $(READY)
	$(call timed,running the campaign $@,OMP_NUM_THREADS=1 $(PY) -m tests.campaigns.$@ $(ARGS))

docs: $(READY)
	$(call timed,writing docs/ and site/,for page in events schema reference man scaling; do \
	  $(PY) -m docs.make_$$page || exit 1; done && \
	$(PY) -m pip install --quiet -e '.[docs]' && NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --quiet)

train-%: $(READY)
	$(call timed,training $*,$(PY) -m vsr_cli.training stage $* $(ARGS))

clean:
	rm -rf build dist demo site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find vsr_cli tests -name __pycache__ -type d -prune -exec rm -rf {} +
