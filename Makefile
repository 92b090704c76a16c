# `make run` and `make test` do all their set-up themselves (make, Python >= 3.11, Node >= 20).
SHELL := /bin/sh
PY := .venv/bin/python
export JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION := 1
export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION := 1
export JSII_SILENCE_WARNING_DEPRECATED_NODE_VERSION := 1
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run start stop reset setup test check soak bench smoke openapi lock clean

help: ## what there is to do
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

run: setup ## the whole platform on this machine, until Ctrl-C
	@$(PY) -m local.up

start: setup ## the same in the background; returns when it is ready
	@$(PY) -m local.up --detach

stop: ## stop what `make start` started (data is kept)
	@if [ -x $(PY) ]; then $(PY) -m local.up --stop; fi

reset: stop ## forget all local data
	@rm -rf .noren/state .noren/stripe .noren/run.json .noren/deploy
	@echo "Local data is gone; the next run starts afresh."

setup:
	@sh local/setup.sh

# Two workers share all else out, then whole runs, deployments and real browsers: the former wait more than they work.
APART := e2e infra contract browser
CHECKED := tests/test_architecture.py tests/test_repository.py
test: setup check ## every check and test
	@$(PY) -m pytest -n 2 $(APART:%=--ignore=tests/%) $(CHECKED:%=--ignore=%)
	@$(PY) -m pytest -n 2 $(APART:%=tests/%)

check: setup ## lint, types, architecture, secrets, OpenAPI drift, CDK rules
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@.noren/node/node_modules/.bin/tsc -p web/widget
	@$(PY) -m noren.edge.openapi --check
	@$(PY) -m pytest -q $(CHECKED)

STAGE ?= local
smoke: setup ## after a deployment, STAGE=local|dev|staging|prod: does the main job work from outside?
	@bin/noren smoke --stage $(STAGE)

SEED ?= 1
HISTORIES ?= 10000
soak: setup ## SEED=1 HISTORIES=10000: seeded histories of accounts with crashes, lost and late requests; the last credit raced for
	@$(PY) -m bench.simulate $(SEED) $(HISTORIES)
	@$(PY) -m bench.races

bench: setup ## cold start, gateway beside LiteLLM and Portkey, storage, cost, scale, billing, the widget's size, tokens, quotes, training: tables, not tests
	@sh bench/setup.sh
	@$(PY) -m bench.coldstart
	@$(PY) -m bench.gateway
	@$(PY) -m bench.cost
	@$(PY) -m bench.hot_tenant
	@$(PY) -m bench.races --rounds 500
	@$(PY) -m bench.stripe_orders --orders 100 --interleaved 10
	@$(PY) -m bench.webhook
	@$(PY) -m bench.widget_size
	@$(PY) -m bench.tokens
	@$(PY) -m bench.quotes
	@$(PY) -m bench.training

openapi: setup ## write the OpenAPI documents and docs/api.md
	@$(PY) -m noren.edge.openapi --write

lock: ## compile the hashed lock files from the *.in files
	@for f in local/bootstrap layers/deps/requirements layers/stripe/requirements layers/extract/requirements requirements local/requirements workers/runpod/requirements; do \
	  $(PY) -m uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url $$f.in -o $$f.txt || exit 1; done
	@$(PY) -m uv pip compile -q --python-version 3.11 --generate-hashes --no-header --no-emit-index-url bench/litellm.in -o bench/litellm.txt
	@cd local/node && npm install --package-lock-only --ignore-scripts --omit-lockfile-registry-resolved --silent

clean: stop ## remove everything that was set up or built
	@rm -rf .venv .noren cdk.out .mypy_cache .ruff_cache .hypothesis
