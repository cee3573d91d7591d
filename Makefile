# One verb per need. Bare `make` prints them. Every verb sets up what it needs and is safe to repeat.
PY := .venv/bin/python
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup fmt check test test-fast sim integration cluster demo bench docs man lock clean

help: ## print these verbs
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: ## install what is needed (apt, pip) and build .venv
	@ops/tools/setup.sh run

fmt: setup ## format the code
	@.venv/bin/ruff format libs services tests ops
	@.venv/bin/ruff check --fix libs services tests ops

check: setup ## format, lint, strict types, the repository's own rules
	@.venv/bin/ruff format --check libs services tests ops
	@.venv/bin/ruff check libs services tests ops
	@.venv/bin/mypy
	@git ls-files -z | xargs -0 awk 'FNR == 1 && /^#!.*[^a-z](ba)?sh( |$$)/ { print FILENAME }' | xargs -r .venv/bin/shellcheck
	@$(PY) -m pytest -q tests/tidy

test: check ## everything that CI runs
	@$(PY) -m pytest -q --durations=10 tests/unit tests/scenarios tests/simulation tests/contract tests/integration tests/cluster

test-fast: setup ## the part that needs no root, under a minute
	@$(PY) -m pytest -q -m "not root and not slow" tests/tidy tests/unit tests/scenarios tests/contract

sim: setup ## simulate the cluster in virtual time (SEED=, COUNT=)
	@$(PY) -m holdfast.testing.simulate $(if $(SEED),--seed $(SEED)) $(if $(COUNT),--count $(COUNT))

integration: setup ## real NATS, FUSE, netlink, namespaces (root)
	@$(PY) -m pytest -q tests/contract tests/integration

cluster: setup ## whole nodes in the lab, faults, history judged afterwards (root)
	@$(PY) -m pytest -q tests/cluster

demo: setup ## a PostgreSQL mirror loses its primary, and nothing else (KEEP=1 leaves the lab)
	@$(PY) -m holdfast.demo $(if $(KEEP),--keep)

bench: ## figures beside their peers (root; installs the peers)
	@ops/tools/setup.sh bench
	@$(PY) -m tests.bench

docs: setup ## write the generated pages again
	@$(PY) ops/tools/docs.py

man: setup ## write the manual page (dist/holdfast.1)
	@$(PY) ops/tools/manpage.py

lock: setup ## resolve requirements.lock again from pyproject.toml
	@.venv/bin/pip-compile --quiet --extra dev --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url \
		--no-emit-trusted-host --no-emit-options --output-file requirements.lock pyproject.toml

clean: ## remove what was built
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache dist
