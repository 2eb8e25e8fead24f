# `make demo` and `make test` set up everything they need and can be repeated.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
SOURCES := pyproject.toml CMakeLists.txt $(shell find csrc -type f)
OLDEST := build/oldest/bin
CPP := $(shell find csrc tests -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh')

# Training and the tests need the kernels, so a compiler that fails stops the set-up (csrc/build_backend.py).
export ZOO_COMPILE ?= ON

.PHONY: demo test test-slow test-oldest web sanitize hammer soak fuzz gpu docs lint format clean

demo: $(INSTALLED)
	rm -rf runs/demo
	$(BIN)/zoo train gridnet-digits --out runs/demo/gridnet-digits --run-dir runs/demo/run
	$(BIN)/python examples/read_digits.py runs/demo/gridnet-digits

# Two processes, each with one thread of torch: the time of the suite is that of its tests, which mostly use one.
test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow

# The site of README's pictures; needs npm once, for onnxruntime-web.
web: $(INSTALLED)
	$(BIN)/zoo web gridnet-mnist cellnet-mnist nca-iris snapshots-mnist normnet-mnist-conv --out site --overwrite

# With the oldest dependencies that pyproject.toml allows; the oldest Python that it allows has wheels of all of them.
test-oldest:
	@test -x $(OLDEST)/python || $(PYTHON) -m venv build/oldest
	$(OLDEST)/python -m pip install --quiet uv
	$(OLDEST)/uv pip install --quiet --python $(OLDEST)/python --resolution lowest-direct --editable '.[train,dev]'
	OMP_NUM_THREADS=1 $(OLDEST)/python -m pytest -n 2 --dist loadgroup

sanitize: $(INSTALLED)
	$(BIN)/python -m tests.support.sanitize

hammer: $(INSTALLED)
	$(BIN)/python -m tests.support.hammer gridnet-mnist --backend native
	$(BIN)/python -m tests.support.hammer gridnet-mnist --backend onnx
	$(BIN)/python -m tests.support.hammer gridnet-mnist --backend torch

soak: $(INSTALLED)
	$(BIN)/python -m tests.support.soak --kills 1000

fuzz: $(INSTALLED)
	$(BIN)/python -m tests.support.fuzz --inputs 1000000

# Sets up nothing: machines with a GPU may have no registry. GPU passes options on, such as GPU=--dry-run.
gpu:
	$(or $(wildcard $(BIN)/python),$(PYTHON)) -m tests.support.gpu $(GPU)

docs: $(INSTALLED)
	$(BIN)/mkdocs build --strict

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/clang-format --dry-run --Werror $(CPP)

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CPP)

clean:
	rm -rf .venv build

$(INSTALLED): $(SOURCES)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "cellzoo needs Python 3.10 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). run make PYTHON=python3.x"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[train,dev]'
	@touch $@
