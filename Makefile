# The lab's commands. `make help` lists them.
TARGET ?= local
PORT ?= 4566
# Found by itself: the first of these that is Python 3.11 and runs.
PYTHON ?= $(shell for p in python3.11 python3 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && { command -v "$$p"; break; }; done)

# The names on the command line. What is no variable of this file is a parameter of a stack (workshop/choices.py).
VARIABLES = TARGET MODEL PRECISION REGION PROJECT_ID PORT PYTHON ARGS
GIVEN = $(foreach name,$(.VARIABLES),$(if $(findstring command line,$(origin $(name))),$(name)))
quoted = '$(subst ','\'',$(1))'
settings = $(foreach name,$(1),$(call quoted,$(name)=$($(name))))
PARAMETERS = $(call settings,$(filter-out $(VARIABLES) AWS_%,$(GIVEN)))
CHOICES = --target $(call quoted,$(TARGET)) --port $(call quoted,$(PORT)) \
	$(if $(REGION),--region $(call quoted,$(REGION))) $(if $(PROJECT_ID),--project-id $(call quoted,$(PROJECT_ID)))
VENV_PYTHON = "$(CURDIR)/.venv/bin/python"
# In a container one often is root, and Jupyter asks to be told that this is meant.
AS_ROOT = $(if $(filter 0,$(shell id -u)),--allow-root)
BIN = "$(CURDIR)/.venv/bin"
CHECKS = format lint types templates imports spelling quick
RUN = PATH="$(CURDIR)/.venv/bin:$$PATH" $(VENV_PYTHON) -m

# Another Python's settings would leak into ours.
unexport PYTHONPATH PYTHONHOME JUPYTER_PATH
export PYTHONNOUSERSITE = 1
export JUPYTER_PREFER_ENV_PATH = 1
# uv keeps what it downloads in the home folder; where that is read-only, in this one.
ifneq ($(shell d="$${UV_CACHE_DIR:-$${XDG_CACHE_HOME:-$$HOME/.cache}/uv}"; mkdir -p "$$d" 2>/dev/null; test -w "$$d" || echo no),)
export UV_CACHE_DIR = $(CURDIR)/.build/uv
endif

.DEFAULT_GOAL := help
.PHONY: help choices setup deploy preflight rehearse versions rollback ship scale test check $(CHECKS) coverage fuzz browser screenshots notebooks lab \
	endpoint judge bench soak emulator down clean lock

help: ## list the commands
	@grep -hE '^[a-z]+:.*##' Makefile | sed -E 's/^([a-z]+):.*## /\1|/' | awk -F'|' '{printf "make %-9s %s\n", $$1, $$2}'
	@echo 'Choices: TARGET=local|aws MODEL=practice|efficientnet-lite0|imagenet|<path or prefix> PRECISION=float32|int8 REGION= PROJECT_ID= PORT=4566 PYTHON='
	@[ -z "$(PYTHON)" ] || { echo 'make deploy takes the parameters of both stacks, too; one that is not named stays as it is:'; \
		PYTHONPATH=notebooks "$(PYTHON)" -m workshop.choices; }

# Before anything is installed or started: is everything known, and possible, that is chosen?
choices:
	@python="$(PYTHON)"; if [ -z "$$python" ]; then echo "set-up: Python 3.11 was not found: install it (apt-get install" \
		"python3.11 python3.11-venv, conda create -n lab python=3.11, or pyenv install 3.11), or name it:" \
		"make PYTHON=/path/to/python3.11" >&2; exit 1; fi; \
	if [ "$$("$$python" -c 'print(311)' 2>/dev/null)" != 311 ]; then echo "set-up: PYTHON=$$python is not a Python that runs:" \
		"name one with make PYTHON=/path/to/python3.11, or leave it out, and it is looked for" >&2; exit 1; fi; \
	PYTHONPATH=notebooks:lambda_src "$$python" -m workshop.choices --for "$(MAKECMDGOALS)" --given '$(GIVEN)' \
		-- $(call settings,$(filter-out PYTHON ARGS AWS_%,$(sort $(VARIABLES) $(GIVEN))))

setup: choices ## make .venv and .venv-emulator, when missing or out of date
	@"$(PYTHON)" scripts/setup.py

deploy: setup ## run the notebooks in order, leave the endpoint running, print its URL and one prediction
	@$(RUN) workshop.headless.runner $(CHOICES) $(if $(MODEL),--model $(call quoted,$(MODEL))) \
		$(if $(PRECISION),--precision $(call quoted,$(PRECISION))) $(PARAMETERS)

preflight: setup ## before anything is made: what the account allows, what is in the way, what it costs
	@$(RUN) workshop.deployment.preflight $(CHOICES) $(PARAMETERS)

rehearse: setup ## do here what the pipeline does on AWS, from the last commit: build, change set, smoke test
	@$(RUN) workshop.deployment.rehearsal $(CHOICES)

versions: setup ## list the versions of Predict: when, model, precision, share of the requests, golden pictures
	@$(RUN) workshop.deployment.versions list $(CHOICES)

rollback: setup ## let the version before answer, in one call; ARGS="--to 3" names another
	@$(RUN) workshop.deployment.versions rollback $(CHOICES) $(ARGS)

ship: setup ## run notebook 06 against what is deployed: a new version, four broken ones, back by hand
	@$(RUN) workshop.headless.runner $(CHOICES) --ship

scale: setup ## run notebook 07 against what is deployed: load, throttling, bulk, cost, simulation
	@$(RUN) workshop.headless.runner $(CHOICES) --scale

test: setup ## check everything, on all cores; ARGS= names some tests, or says more to pytest
	@$(RUN) pytest -n auto $(ARGS)

judge: setup ## say what AWS would refuse of the templates, the roles and the pipeline, without asking it
	@$(RUN) workshop.deployment.judge

check: setup ## check what can be checked in a minute: the next seven, side by side
	@$(MAKE) --no-print-directory --jobs=$(shell nproc) --keep-going --output-sync=target $(CHECKS)

format: setup ## whether all code has ruff's format; `.venv/bin/ruff format` gives it
	@$(BIN)/ruff format --check --quiet . || { $(BIN)/ruff format --check .; exit 1; }

lint: setup ## ruff
	@$(BIN)/ruff check --quiet .

types: setup ## mypy over predict, workshop, scripts and benchmarks
	@$(BIN)/mypy

templates: setup ## cfn-lint over both templates
	@$(BIN)/cfn-lint template.yml toolchain.yml

imports: setup ## import-linter: which way imports run
	@$(BIN)/lint-imports --no-logo --cache-dir .build/import-linter

spelling: setup ## codespell
	@$(BIN)/codespell

quick: setup ## the unit tests that are not marked slow
	@$(RUN) pytest -q -n 2 -m "not slow" tests/unit tests/templates

coverage: setup ## which branches the unit tests take, by room
	@$(RUN) pytest -q -n $(shell nproc) --cov --cov-report= tests/unit tests/fuzz tests/templates $(ARGS)
	@$(BIN)/python scripts/coverage_by_room.py

browser: setup ## check the page, the report and JupyterLab in headless Chromium
	@$(RUN) pytest tests/browser $(ARGS)

fuzz: setup ## put 100,000 odd requests and 20,000 damaged images to the function, and more to the endpoint; ARGS=--help
	@$(RUN) tests.fuzz.fuzzing $(ARGS)
	@SCHEMATHESIS_EXAMPLES=1000 $(RUN) pytest -s tests/e2e/test_schemathesis.py

screenshots: setup ## take the README's screenshots again, of the page, JupyterLab and the last deploy's report
	@SCREENSHOTS=docs/screenshots $(RUN) pytest tests/browser -k test_screenshot

notebooks: setup ## execute the notebooks in place, as they are committed; ARGS= names some
	@AWS_ENDPOINT_URL=http://127.0.0.1:$(PORT) PATH="$(CURDIR)/.venv/bin:$$PATH" $(VENV_PYTHON) scripts/execute.py $(ARGS)

lab: setup ## open JupyterLab on the first notebook
	@cd notebooks && export PATH="$(CURDIR)/.venv/bin:$$PATH" AWS_ENDPOINT_URL=http://127.0.0.1:$(PORT) \
		JUPYTER_CONFIG_PATH="$(CURDIR)/scripts/jupyter" JUPYTERLAB_WORKSPACES_DIR="$(CURDIR)/.build/jupyter/workspaces" && \
		jupyter lab workspaces import ../scripts/jupyter/lab.jupyterlab-workspace --LabWorkspaceImportApp.log_level=ERROR && \
		jupyter lab --ServerApp.log_level=ERROR --LabApp.log_level=ERROR --LabApp.news_url= $(AS_ROOT) $(ARGS) 00_start_here.ipynb

endpoint: setup ## print the URL of the deployed endpoint, alone
	@$(RUN) workshop.headless.runner --endpoint $(CHOICES)

bench: setup ## measure, side by side with peers; results go to benchmarks/
	@$(RUN) benchmarks.serving $(ARGS)

soak: setup ## ten minutes of good and bad requests while workers are killed; results go to benchmarks/
	@$(RUN) benchmarks.soak $(ARGS)

emulator: setup ## start the emulator alone
	@$(RUN) workshop.emulator start --port $(PORT)

down: ## stop the emulator; everything of the local target is in its memory, and goes with it
	@if [ -x $(VENV_PYTHON) ]; then $(RUN) workshop.emulator stop; else echo "No emulator of this folder runs."; fi

clean: down ## remove everything that the commands made, the environments too
	@rm -rf .venv .venv-emulator .venv-linter .emulator runs models/fetched .build template-export.yml template-configuration.json \
		.aws-sam .pytest_cache .ruff_cache .mypy_cache .hypothesis .coverage
	@find . -name __pycache__ -prune -exec rm -rf {} + -o -name .ipynb_checkpoints -prune -exec rm -rf {} +

lock: setup ## resolve environment.yml and requirements-emulator.in into the locks
	@$(VENV_PYTHON) scripts/lock.py
