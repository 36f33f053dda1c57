# Everything sets itself up: a .venv with what constraints.txt pins, by uv where there is one, else by pip.
VENV ?= .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PACKAGES := rpcwire rpcclient rpcserver services
READY := $(VENV)/.ready
RUNNER ?= pytest
FUZZ_S ?= 120

.PHONY: help demo cluster test check web bench serve soak fuzz stubs deb deb-test coverage format clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed: install it, or set PYTHON=/path/to/python3"; exit 1; }
	@echo "Installing what is needed into $(VENV): this takes a minute" >&2
	@if command -v uv >/dev/null 2>&1; then \
		test -x $(BIN)/python || uv venv --quiet --python $(PYTHON) $(VENV); \
		uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[all]' --group dev; \
	else \
		test -x $(BIN)/python || $(PYTHON) -m venv $(VENV); \
		$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt pip; \
		$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all]' --group dev; \
	fi
	@touch $@

demo: $(READY) ## start a server and use its three services from Python
	@$(BIN)/python examples/demo.py

cluster: $(READY) ## start a broker and three nodes, use them as one, kill one
	@$(BIN)/python examples/cluster.py

test: $(READY) ## run all tests that this machine can run
	$(BIN)/python -m $(RUNNER)

soak: $(READY) ## run the long proofs, and fuzz for an hour
	SOAK=1 $(BIN)/python -m pytest --timeout 3600 -o faulthandler_timeout=4000
	$(MAKE) fuzz FUZZ_S=3600

fuzz: $(READY) ## fuzz what reads bytes of others, for FUZZ_S seconds in all
	@$(BIN)/python -c "import atheris" 2>/dev/null || \
		if command -v uv >/dev/null 2>&1; then \
			uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --group fuzz; \
		else \
			$(BIN)/python -m pip install --quiet --constraint constraints.txt --group fuzz; \
		fi
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_S)

coverage: ## run the tests with line coverage, at least 95 % in rpcwire, rpcclient and rpcserver each
	$(MAKE) test RUNNER=tests.coverage_gate

check: $(READY) ## lint, types, generated files, docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict $(PACKAGES) tests/typing examples benchmarks debian web/building.py hatch_build.py
	$(BIN)/pyright
	$(BIN)/python -m tests.documented
	$(BIN)/python -m tests.generated --check
	$(BIN)/python -m web.building check
	@if test -x $(BIN)/hadolint; then $(BIN)/hadolint Dockerfile; fi

web: $(READY) ## build the client in TypeScript and the console, and check their sizes
	@$(BIN)/python -m web.building build

stubs: $(READY) ## generate rpcclient/stubs, views of rpcclient/sync, and the generated files of config/ anew
	$(BIN)/python -m tests.generated

deb: $(READY) ## build the Debian package in dist/
	@$(BIN)/python -m debian.build

deb-test: $(READY) ## build the Debian package, and take it through its life in a root folder of its own (as root)
	SOAK=1 $(BIN)/python -m pytest -s --timeout 1800 -o faulthandler_timeout=1900 tests/integration/test_packages.py

bench: $(READY) ## measure calls and the three services beside what others do
	$(BIN)/python benchmarks/calls.py
	$(BIN)/python benchmarks/programs.py
	$(BIN)/python benchmarks/database.py
	$(BIN)/python benchmarks/hardware.py

serve: $(READY) ## run a server on 127.0.0.1:8765
	$(BIN)/rpcserver serve

format: $(READY) ## format the code
	$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

clean: ## remove what was built
	rm -rf $(VENV) web/node_modules web/client/dist rpcserver/console_files build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.*
