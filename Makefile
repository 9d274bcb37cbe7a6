# `make` alone prints these. Everything runs in .venv, filled from requirements.lock (hashed).
PYTHON ?= python3
BIN := .venv/bin
SOURCE ?= simulated
DATA ?=
# The others in benchmarks/ are their helpers, or take down what they measure (serving_faults, serving_fuzz).
BENCHMARKS := accuracy deals feature_history features forecast forecast_within gate monitoring probes serving simulator training warehouse
export DO_NOT_TRACK := true

.PHONY: help demo test test-all lint format serve serve-load ui bench docs lock clean

help: ## Print this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

demo: .venv/.ready ## The whole loop, from a CRM's history to answered requests; SOURCE=olist|bpic2012|tourism DATA=folder for real data
	@$(BIN)/salience demo --source $(SOURCE) $(if $(DATA),--data $(DATA))

test: .venv/.ready ## The tests (about 10 minutes on 2 cores)
	@OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

test-all: .venv/.ready ## The tests, slow ones too
	@$(BIN)/python -m pytest -m ''

lint: .venv/.ready ## Format and lint checks, strict types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

format: .venv/.ready ## Format and mend what can be mended
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

serve: .venv/.ready ## Start the prediction services on 127.0.0.1
	@$(BIN)/salience serve

serve-load: .venv/.ready ## How the services hold under load, beside MLflow's server and a bare FastAPI route
	@$(BIN)/python benchmarks/serving.py --quick

ui: .venv/.ready ## Start Prefect's, MLflow's, Evidently's and Feast's pages on 127.0.0.1
	@$(BIN)/salience ui

bench: .venv/.ready ## Benchmarks: work, peer, limit, ours, ratio, bar
	@for name in $(BENCHMARKS); do echo "== benchmarks/$$name.py"; $(BIN)/python benchmarks/$$name.py || exit 1; done

docs: .venv/.ready ## Make the generated pages and schemas in docs/ anew
	@$(BIN)/python -m warehouse.contract_pages docs/contracts
	@$(BIN)/python -m warehouse.quality docs/quality.schema.json
	@$(BIN)/python -c 'from features.catalogue_page import catalogue_markdown; print(catalogue_markdown(), end="")' > docs/features/catalogue.md
	@$(BIN)/python -c 'import json; from warehouse.mapping import mapping_json_schema; print(json.dumps(mapping_json_schema(), indent=2))' > docs/mapping.schema.json
	@$(BIN)/python -m training.reporting docs/training-report.schema.json
	@$(BIN)/python -c 'import json; from training.scoring.scoring_file import scoring_json_schema; print(json.dumps(scoring_json_schema(), indent=2))' > docs/scoring.schema.json

lock: ## Resolve pyproject.toml anew into requirements.lock (needs uv)
	@uv pip compile pyproject.toml --group dev --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-header --quiet -o requirements.lock

clean: ## Remove what the product made; .venv stays
	rm -rf .salience mlruns/mlflow.db mlruns/artifacts mlruns/promotions.jsonl

# uv (itself from the lock) installs in seconds; where its index cannot be reached as pip's can, pip does the same slowly.
.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed, $(PYTHON) is older. Next: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 2; }
	@echo "Setting up .venv from requirements.lock ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > .venv/uv.lock.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r .venv/uv.lock.txt
	@VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --system-certs --no-deps --require-hashes --compile-bytecode -r requirements.lock \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch .venv/.ready
