# The lab's commands. `make help` lists them.
TARGET ?= local
PORT ?= 4566
ifneq ($(origin NAME),command line)
NAME = # some shells have a variable of this name
endif
# Found by itself: the Python that made .venv, else the newest that works.
PYTHON ?= $(shell sh scripts/find_python.sh)

# The names on the command line. What is no variable of this file is a parameter of a stack (workshop/choices.py).
VARIABLES = TARGET MODEL PRECISION REGION PROJECT_ID PORT PYTHON NAME ARGS
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
CHECKS = format lint types templates imports spelling language quick
RUN = PATH="$(CURDIR)/.venv/bin:$$PATH" $(VENV_PYTHON) -m

# Another Python's settings would leak into ours. Containers often set the last one: without compiled files on disk, each
# program compiles its whole library when it starts (papermill 4.2 s of CPU in place of 0.6, cfn-lint 5.3 in place of 0.5).
unexport PYTHONPATH PYTHONHOME JUPYTER_PATH PYTHONDONTWRITEBYTECODE
export PYTHONNOUSERSITE = 1
export JUPYTER_PREFER_ENV_PATH = 1
# uv keeps what it downloads in the home folder; where that is read-only, in this one.
ifneq ($(shell d="$${UV_CACHE_DIR:-$${XDG_CACHE_HOME:-$$HOME/.cache}/uv}"; mkdir -p "$$d" 2>/dev/null; test -w "$$d" || echo no),)
export UV_CACHE_DIR = $(CURDIR)/.build/uv
endif

.DEFAULT_GOAL := help
.PHONY: help choices setup deploy preflight rehearse versions rollback key keys revoke ship scale test test-pythons check $(CHECKS) coverage fuzz browser \
	screenshots notebooks site lab endpoint judge bench soak emulator down clean lock

help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "make %-12s %s\n", $$1, $$2}'
	@echo 'Choices: TARGET=local|aws MODEL=practice|efficientnet-lite0|imagenet|<path or prefix> PRECISION=float32|int8 REGION= PROJECT_ID= PORT=4566 PYTHON='
	@python="$(PYTHON)"; [ -z "$$python" ] || { \
		echo 'make deploy takes the parameters of both stacks, too, here with their defaults on AWS. One that is not named keeps its deployed value:'; \
		PYTHONPATH=notebooks "$$python" -m workshop.choices; }

# Before anything is installed or started: is everything known, and possible, that is chosen?
choices:
	@python="$(PYTHON)"; if [ -z "$$python" ]; then python=$$(sh scripts/find_python.sh --fetch) || exit 1; fi; \
	if [ "$$("$$python" -c 'print(311)' 2>/dev/null)" != 311 ]; then echo "set-up: PYTHON=$$python is not a Python that runs:" \
		"name one with make PYTHON=/path/to/python3.13, or leave it out, and it is looked for" >&2; exit 1; fi; \
	PYTHONPATH=notebooks:lambda_src "$$python" -m workshop.choices --for "$(MAKECMDGOALS)" --given '$(GIVEN)' \
		-- $(call settings,$(filter-out PYTHON ARGS AWS_%,$(sort $(VARIABLES) $(GIVEN))))

setup: choices ## make .venv and .venv-emulator, when missing or out of date
	@"$(PYTHON)" scripts/setup.py

deploy: setup ## run the notebooks in order, leave the endpoint running, print its URL and one prediction
	@$(RUN) workshop.headless.runner $(CHOICES) $(if $(MODEL),--model $(call quoted,$(MODEL))) \
		$(if $(PRECISION),--precision $(call quoted,$(PRECISION))) $(PARAMETERS)

preflight: setup ## ask the account, before anything is made: permissions, quotas, names, cost
	@$(RUN) workshop.deployment.preflight $(CHOICES) $(PARAMETERS)

rehearse: setup ## run the pipeline's steps on this machine, from the last commit: build, change set, smoke test
	@$(RUN) workshop.deployment.rehearsal $(CHOICES)

versions: setup ## list the versions of Predict: when, model, precision, share of the requests, golden pictures
	@$(RUN) workshop.deployment.versions list $(CHOICES)

rollback: setup ## let the version before answer, in one call; ARGS="--to 3" names another
	@$(RUN) workshop.deployment.versions rollback $(CHOICES) $(ARGS)

key: setup ## make an API key and print it, with Auth=key: NAME=reader-1
	@$(RUN) workshop.deployment.keys make $(CHOICES) --name $(call quoted,$(NAME))

keys: setup ## list the API keys: when made, requests of today, state
	@$(RUN) workshop.deployment.keys list $(CHOICES)

revoke: setup ## delete an API key: NAME=reader-1
	@$(RUN) workshop.deployment.keys revoke $(CHOICES) --name $(call quoted,$(NAME))

ship: setup ## run notebook 07 against the deployed stack: a new version, four broken ones, and a rollback
	@$(RUN) workshop.headless.runner $(CHOICES) --ship

scale: setup ## run notebooks 08 and 09 against the deployed stack: load, throttling, bulk, cost, simulation
	@$(RUN) workshop.headless.runner $(CHOICES) --scale

test: setup ## run all tests, on all cores; ARGS= names some tests, or gives pytest options
	@$(RUN) pytest -n auto $(ARGS)

test-pythons: choices ## run unit and package tests and one deploy on each Python that is found; ARGS= names versions
	@"$(PYTHON)" scripts/test_pythons.py $(ARGS)

judge: setup ## list everything in templates, roles and pipeline that AWS would reject; nothing is sent to AWS
	@$(RUN) workshop.deployment.judge

check: setup ## the quick checks: the next eight, side by side
	@$(MAKE) --no-print-directory --jobs=$(shell nproc) --keep-going --output-sync=target $(CHECKS)

format: setup ## whether all code has ruff's format; `.venv/bin/ruff format` gives it
	@$(BIN)/ruff format --check --quiet . || { $(BIN)/ruff format --check .; exit 1; }

lint: setup ## ruff
	@$(BIN)/ruff check --quiet .

types: setup ## mypy over predict, workshop, scripts and benchmarks
	@$(BIN)/mypy

templates: setup ## cfn-lint over both templates, and the judge
	@$(BIN)/cfn-lint template.yml toolchain.yml
	@$(RUN) workshop.deployment.judge

imports: setup ## import-linter: which way imports run
	@$(BIN)/lint-imports --no-logo --cache-dir .build/import-linter

spelling: setup ## codespell
	@$(BIN)/codespell

language: setup ## whether the texts keep to docs/style.md: "what" clauses and the length of sentences
	@$(BIN)/python scripts/language.py

quick: setup ## the unit tests that are not marked slow
	@$(RUN) pytest -q -n 2 -m "not slow" tests/unit tests/templates

coverage: setup ## which branches the unit tests take, by room
	@$(RUN) pytest -q -n $(shell nproc) --cov --cov-report= tests/unit tests/fuzz tests/templates $(ARGS)
	@$(BIN)/python scripts/coverage_by_room.py

browser: setup ## test the page, the report and JupyterLab in headless Chromium
	@$(RUN) pytest tests/browser $(ARGS)

fuzz: setup ## send 100,000 odd requests and 20,000 damaged images to the function, and more to the endpoint; ARGS=--help
	@$(RUN) tests.fuzz.fuzzing $(ARGS)
	@SCHEMATHESIS_EXAMPLES=1000 $(RUN) pytest -s tests/e2e/test_schemathesis.py

screenshots: setup ## take the screenshots of README and docs again: page, JupyterLab, the last deploy's report
	@SCREENSHOTS=docs/screenshots $(RUN) pytest tests/browser -k test_screenshot

notebooks: setup ## execute the notebooks in place, as they are committed; ARGS= names some
	@AWS_ENDPOINT_URL=http://127.0.0.1:$(PORT) PATH="$(CURDIR)/.venv/bin:$$PATH" $(VENV_PYTHON) scripts/execute.py $(ARGS)

site: choices ## make a site of the texts, the notebooks with their stored outputs and the contract, in .build/site
	@"$(PYTHON)" scripts/setup.py site
	@"$(CURDIR)/.venv-site/bin/python" scripts/build_site.py

lab: setup ## open JupyterLab on the first notebook
	@cd notebooks && export PATH="$(CURDIR)/.venv/bin:$$PATH" AWS_ENDPOINT_URL=http://127.0.0.1:$(PORT) \
		JUPYTER_CONFIG_PATH="$(CURDIR)/scripts/jupyter" JUPYTERLAB_WORKSPACES_DIR="$(CURDIR)/.build/jupyter/workspaces" && \
		jupyter lab workspaces import ../scripts/jupyter/lab.jupyterlab-workspace --LabWorkspaceImportApp.log_level=ERROR && \
		jupyter lab --ServerApp.root_dir="$(CURDIR)" --ServerApp.log_level=ERROR --LabApp.log_level=ERROR --LabApp.news_url= $(AS_ROOT) $(ARGS) 00_start_here.ipynb

endpoint: setup ## print the URL of the deployed endpoint, alone
	@$(RUN) workshop.headless.runner --endpoint $(CHOICES)

bench: setup ## measure the function beside other frameworks; results go to benchmarks/
	@$(RUN) benchmarks.serving $(ARGS)

soak: setup ## ten minutes of good and bad requests while workers are killed; results go to benchmarks/
	@$(RUN) benchmarks.soak $(ARGS)

emulator: setup ## start the emulator alone
	@$(RUN) workshop.emulator start --port $(PORT)

down: ## stop the emulator, which loses everything that is deployed on the local target
	@if [ -x $(VENV_PYTHON) ]; then $(RUN) workshop.emulator stop; else echo "No emulator of this folder runs."; fi

clean: down ## remove everything that the commands made, the environments too
	@rm -rf .venv .venv-emulator .venv-linter .venv-site .emulator runs models/fetched .build template-export.yml template-configuration.json \
		.aws-sam .pytest_cache .ruff_cache .mypy_cache .hypothesis .coverage
	@find . -name __pycache__ -prune -exec rm -rf {} + -o -name .ipynb_checkpoints -prune -exec rm -rf {} +

lock: setup ## resolve environment.yml and requirements-*.in into the locks, one for each Python
	@$(VENV_PYTHON) scripts/lock.py
