# Two commands matter: `make demo` shows what featviz does, `make test` shows that it works.
# Both install what they need into .venv first; only package registries are contacted.
#
#   make PYTHON=/path/to/python3.12 setup    choose the interpreter
#   make test ARGS="-k sites -x"             pass arguments on (gallery, test, bench)
#   make test JOBS=0                         the tests in one process, as a debugger wants them

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

PYTHON =
ARGS =
JOBS = 2
# Relative paths only: the checkout may lie in a folder with spaces in its name. Tools run as
# `python -m`, because the scripts in .venv/bin hold the path that they were installed under.
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.featviz-installed
PIP := $(PY) -m pip --disable-pip-version-check

# Settings of the caller's shell that would send pip or Python somewhere else than .venv.
unexport PYTHONHOME PYTHONPATH PYTHONSAFEPATH PYTHONSTARTUP CDPATH
unexport PIP_PREFIX PIP_TARGET PIP_USER PIP_ROOT PIP_PYTHON PIP_REQUIREMENT PIP_NO_DEPS PIP_DRY_RUN
export PYTHONNOUSERSITE := 1

.PHONY: help setup demo gallery atlas test check bench screenshots clean

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP)  ## install everything into .venv, once, and again when a requirement changes

demo: $(STAMP)  ## features of the embedded network and two circuits, into out/demo (a minute or two)
	@$(PY) -m featviz demo -o out/demo
	@$(PY) -m featviz circuit graph artificial_curves arcs:6 --depth 3 --keep 8 \
	    -o out/demo/circuit.html --overwrite >out/demo/circuit.txt
	@$(PY) -m featviz circuit graph squeezenet1_1 fire5:38 --depth 2 --keep 8 --width 16 \
	    -o out/demo/circuit-squeezenet.html --overwrite >out/demo/circuit-squeezenet.txt
	@for page in index circuit circuit-squeezenet; do \
	    printf 'open %s\n' "$$(pwd)/out/demo/$$page.html"; done
	@printf 'browse all units, circuits and lessons: %s -m featviz app\n' "$(PY)"

gallery: $(STAMP)  ## render one unit under every setting into out/gallery (about 5 minutes)
	@$(PY) -m featviz gallery -o out/gallery $(ARGS)
	@printf 'open %s\n' "$$(pwd)/out/gallery/index.html"

# Rendered into out/atlas first, where it goes on after a stop. Its log keeps times, so each run of it
# has another hash; assets/manifest.json wants the new one.
ATLAS = --size 96 --steps 64 --precision float32 --device cpu --format png --ignore-environment
atlas: $(STAMP)  ## render the small atlas in assets/atlas anew (10 minutes on one core)
	@$(PY) -m featviz atlas build artificial_curves $(ATLAS) -o out/atlas
	@$(PY) -m featviz atlas build squeezenet1_1 --sites fire3,fire4,fire5,fire6,fire7,fire8,fire9 \
	    $(ATLAS) -o out/atlas
	@$(PY) -m featviz atlas export out/atlas --format preview -o assets/atlas --overwrite
	@$(PY) -c 'import hashlib, pathlib; print("sha256 for assets/manifest.json:", \
	    hashlib.sha256(pathlib.Path("assets/atlas/export.json").read_bytes()).hexdigest())'

test: $(STAMP)  ## run the tests (offline, CPU)
	@OMP_NUM_THREADS=1 $(PY) -m pytest -n $(JOBS) --dist loadfile $(ARGS)

check: $(STAMP)  ## ruff format, ruff check, mypy: what CI runs before the tests
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy

bench: $(STAMP)  ## compare speed with Lucent in one run; ARGS=--json for a machine
	@$(PY) -m benchmarks.lucent $(ARGS)

screenshots: $(STAMP)  ## write a picture of each page of the app into out/screenshots (two minutes)
	@$(PY) -m benchmarks.screenshots -o out/screenshots $(ARGS)

clean:  ## remove caches, build leftovers, what goes into out/; .venv and your renders stay
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist out/demo out/gallery out/screenshots
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# The first of PYTHON, python3.11 and python3 that runs and is new enough. Each is run, not only
# looked up: a version manager may have a python3.11 on the PATH that does nothing but fail.
# Not compiled here, which would take 45 s: Python compiles what is imported, and keeps it.
$(STAMP): pyproject.toml constraints.txt
	@if ! $(PY) -m pip --version >/dev/null 2>&1; then \
	    found=; \
	    for candidate in "$(PYTHON)" python3.11 python3; do \
	        if [ -n "$$candidate" ] && "$$candidate" -c \
	            'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; \
	        then found=$$candidate; break; fi; \
	    done; \
	    if [ -z "$$found" ]; then \
	        echo 'featviz needs Python 3.11 or newer, and neither python3.11 nor python3 is one.' \
	            'Install it, or name one: make PYTHON=/path/to/python3.11 setup' >&2; \
	        exit 1; \
	    fi; \
	    if ! "$$found" -m venv --clear $(VENV); then \
	        rm -rf $(VENV); \
	        echo "$$found could not make a virtual environment; on Debian and Ubuntu this needs" \
	            'the package python3-venv (see the message above)' >&2; \
	        exit 1; \
	    fi; \
	fi
	@echo 'setup: installing into $(VENV); on Linux, PyTorch with CUDA is a download of about 2.5 GB'
	@start=$$(date +%s) && \
	    $(PIP) install --no-compile --constraint constraints.txt --editable '.[dev]' && \
	    $(PIP) install --no-deps torch-lucent==0.1.8 && \
	    echo "setup: installed in $$(( $$(date +%s) - start )) s"
	@touch $@
