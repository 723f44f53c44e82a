# `make run` and `make test` need Python >= 3.11 and make; everything else is installed into .venv and .local, once.
SHELL := /bin/sh
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
# By file, since what a file's tests share is dear, and in their order: the last ones, of tests/unit, are short, so that
# all end together. Three workers keep two cores busy: they often wait for the engine.
PARALLEL := -n 3 --dist loadfile --no-loadscope-reorder
# What rests on boto3, against the strict engine.
CLIENT_TESTS := tests/contract tests/unit/test_botocore.py tests/unit/test_botocore_faults.py tests/unit/test_client.py \
	tests/unit/test_foreign_code.py tests/unit/test_publish_adapters.py tests/replays/test_targets.py
# What takes long, and is rarely broken without another test that says so: promises under injected faults, simulations, the local
# cloud's own tests, packages that pip builds.
DEEP := tests/proof tests/property tests/simulator tests/local tests/infra/test_infra_packages.py
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

VENV_READY := $(VENV)/.ready
RUN_READY := $(VENV)/.run-ready
TEST_READY := $(VENV)/.test-ready
CDK_READY := .local/cdk/.ready
DYNAMODB_READY := .local/dynamodb/.ready
MUTANTS_READY := $(VENV)/.mutants-ready
BENCH_READY := $(VENV)/.bench-ready
BENCH_NPM_READY := .local/bench/npm/.ready

RUN_REQUIREMENTS := requirements.txt localcloud/requirements.txt
TEST_REQUIREMENTS := $(RUN_REQUIREMENTS) tests/requirements.txt $(wildcard lambdas/requirements-*.txt)

##@ Try it
.PHONY: run
run: $(RUN_READY) $(CDK_READY) ## Deploy to a local cloud, show the main job, stay up until Ctrl-C (KEEP=1: go on with the last run's store; RUN_ONCE=1: end after the show)
	@exec $(BIN)/python -m localcloud run

.PHONY: load
load: $(RUN_READY) ## Append a file of events to the running local cloud: make load FILE=events.ndjson
	@test -n "$(FILE)" || { echo "Name a file of events: make load FILE=events.ndjson" >&2; exit 2; }
	@exec $(BIN)/python -m localcloud load "$(FILE)"

.PHONY: clean-local
clean-local: $(RUN_READY) ## Remove the store that KEEP=1 make run keeps, with its events
	@exec $(BIN)/python -m localcloud clean

##@ Work on it
.PHONY: test
test: $(TEST_READY) $(CDK_READY) $(DYNAMODB_READY) ## Run all tests, end to end included (TESTS=tests/unit: only those)
ifdef TESTS
	@exec $(BIN)/python -m pytest $(TESTS)
else
	@$(MAKE) --no-print-directory --jobs=2 e2e-tests all-but-e2e-tests
endif

# Beside each other: the end-to-end tests mostly wait, and what they wait for goes first.
.PHONY: e2e-tests all-but-e2e-tests
e2e-tests: $(TEST_READY) $(CDK_READY) $(DYNAMODB_READY)
	$(BIN)/python -m pytest tests/e2e
all-but-e2e-tests: $(TEST_READY) $(CDK_READY) $(DYNAMODB_READY)
	nice -n 10 $(BIN)/python -m pytest $(PARALLEL) --ignore=tests/e2e tests

.PHONY: check
ifdef BOTO3
ifeq ($(filter $(BOTO3),oldest pinned newest),)
$(error There is no BOTO3=$(BOTO3); there are oldest, pinned and newest)
endif
check: $(TEST_READY) $(DYNAMODB_READY) $(if $(filter-out pinned,$(BOTO3)),.local/boto3/$(BOTO3)/.ready)
	@PYTHONPATH=$(CURDIR)/.local/boto3/$(BOTO3) $(BIN)/python -c \
		'import boto3, botocore, urllib3; print("boto3", boto3.__version__, "botocore", botocore.__version__, "urllib3", urllib3.__version__)'
	PYTHONPATH=$(CURDIR)/.local/boto3/$(BOTO3) $(BIN)/python -m pytest $(PARALLEL) $(CLIENT_TESTS)
else
check: $(TEST_READY) $(CDK_READY) $(DYNAMODB_READY) ## Lint, types, layers, complexity, all tests but the deep and the end-to-end ones (BOTO3=oldest, pinned, newest: the client's tests on that boto3)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PYTHONPATH=. $(BIN)/lint-imports --no-logo
	$(BIN)/complexipy
	@$(MAKE) --no-print-directory --jobs=2 types quick-tests
endif

# Beside each other: without its cache mypy takes one core for a minute, and tests leave a core idle now and then.
.PHONY: types quick-tests
types: $(TEST_READY)
	$(BIN)/mypy
quick-tests: $(TEST_READY) $(CDK_READY) $(DYNAMODB_READY)
	$(BIN)/python -m pytest $(PARALLEL) --ignore=tests/e2e $(addprefix --ignore=,$(DEEP)) tests

.PHONY: deep
deep: $(TEST_READY) $(CDK_READY) $(DYNAMODB_READY) ## Run the deep tests: the proof, simulations, the local cloud's, packages
	$(BIN)/python -m pytest $(PARALLEL) $(DEEP)

.PHONY: soak
soak: $(TEST_READY) $(DYNAMODB_READY) ## Inject faults for long and check that nothing is lost (SECONDS=600, SEED=n)
	@PYTHONPATH=lambdas exec $(BIN)/python -m tests.proof --seconds $(or $(SECONDS),600) $(if $(SEED),--seed $(SEED))

.PHONY: mutants
mutants: $(MUTANTS_READY) $(DYNAMODB_READY) ## Change the code in small ways and see that tests notice (ONLY="eventstore._merge*")
	@exec $(BIN)/python -m tests.mutants $(ONLY)

# On the newest boto3: its own cost is most of an append's, and changes.
.PHONY: bench
bench: $(BENCH_READY) $(BENCH_NPM_READY) $(DYNAMODB_READY) .local/boto3/newest/.ready ## Measure against the floor and the peers, write docs/benchmarks.md (QUICK=1: a first look; ONLY="append_cpu ...")
	@PYTHONPATH=$(CURDIR)/.local/boto3/newest exec $(BIN)/python -m bench $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY))

.PHONY: bench-live
bench-live: $(RUN_READY) $(CDK_READY) ## Measure on a local cloud how late subscribers are, and a replay (FILE=events.ndjson)
	@exec $(BIN)/python -m bench.live $(if $(FILE),--events "$(FILE)")

.PHONY: bench-log
bench-log: $(RUN_READY) $(CDK_READY) ## Measure how the local cloud serves a large log (SIZES="30000 120000 300000")
	@exec $(BIN)/python -m bench.local_log $(if $(SIZES),--sizes $(SIZES))

.PHONY: openapi
openapi: $(TEST_READY) ## Write eventstore/http/openapi.json and docs/problems.md anew from the code
	$(BIN)/python -m eventstore.http.docs

.PHONY: clean
clean: ## Remove everything that was installed or built, but not what KEEP=1 make run keeps
	if [ -d .local ]; then find .local -mindepth 1 -maxdepth 1 ! -name kept -exec rm -rf {} +; fi
	rm -rf $(VENV) mutants cdk.out build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help
help: ## Show this
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# pip's own output, shortened: one line a package, then a line for the wait at the end.
SHOW_PIP := '/^Collecting / {printf "  %3d %s\n", ++n, $$2; fflush()} /^Installing coll/ {print "      unpacking ..."; fflush()}'

# --- what is installed, each once, and again only when its pins change ---------------------------------------------

$(VENV_READY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "This needs Python 3.11 or later, and $(PYTHON) is `$(PYTHON) --version 2>&1 | tail -1`." >&2; \
		echo "Name one that is: make PYTHON=/path/to/python3.13 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "$(PYTHON) has no venv module. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "Creating $(VENV) with `$(PYTHON) --version` ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(RUN_READY): $(VENV_READY) $(RUN_REQUIREMENTS)
	@echo "Installing the CDK, the local cloud and Node into $(VENV), once ..."
	@rm -f $@
	@{ $(BIN)/python -m pip install --progress-bar off --requirement localcloud/requirements.txt \
		&& touch $@; } | awk $(SHOW_PIP)
	@test -e $@

$(TEST_READY): $(RUN_READY) $(TEST_REQUIREMENTS)
	@echo "Installing what the tests and checks need into $(VENV), once ..."
	@rm -f $@
	@{ $(BIN)/python -m pip install --progress-bar off --requirement tests/requirements.txt \
		&& touch $@; } | awk $(SHOW_PIP)
	@test -e $@

$(MUTANTS_READY): $(TEST_READY) tests/mutants/requirements.txt
	@echo "Installing mutmut into $(VENV), once ..."
	@rm -f $@
	@{ $(BIN)/python -m pip install --progress-bar off --requirement tests/mutants/requirements.txt \
		&& touch $@; } | awk $(SHOW_PIP)
	@test -e $@

$(BENCH_READY): $(TEST_READY) bench/requirements.txt bench/peers/requirements.txt
	@echo "Installing matplotlib and the PyPI peers for the benchmark, once ..."
	@rm -rf $@ .local/bench/python
	@{ $(BIN)/python -m pip install --progress-bar off --requirement bench/requirements.txt \
		&& $(BIN)/python -m pip install --progress-bar off --no-deps --target .local/bench/python \
			--requirement bench/peers/requirements.txt \
		&& touch $@; } | awk $(SHOW_PIP)
	@test -e $@

$(BENCH_NPM_READY): bench/npm/package.json bench/npm/package-lock.json | $(RUN_READY)
	@echo "Installing the npm peers for the benchmark into .local/bench/npm ..."
	@mkdir -p $(@D)
	@cp $^ $(@D)/
	@cd $(@D) && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --silent --no-fund --no-audit
	@touch $@

# The lowest version stands in pyproject.toml and nowhere else; boto3 alone would come with a later botocore.
OLDEST_BOTO3 := $(shell sed -n 's/^dynamodb = .*"boto3>=\([0-9.]*\).*/\1.0/p' pyproject.toml)
.local/boto3/oldest/.ready: WANTED := boto3==$(OLDEST_BOTO3) botocore==$(OLDEST_BOTO3)
.local/boto3/newest/.ready: WANTED := boto3
.local/boto3/newest/.ready: newest-may-have-changed
.PHONY: newest-may-have-changed
.local/boto3/%/.ready: pyproject.toml | $(TEST_READY)
	@echo "Installing the $* boto3 into $(@D) ..."
	@rm -rf $(@D)
	@$(BIN)/python -m pip install --quiet --upgrade --target $(@D) $(WANTED)
	@touch $@

.local/%/.ready: localcloud/npm/%/package.json localcloud/npm/%/package-lock.json | $(RUN_READY)
	@echo "Installing `sed -n 's/.*"\([a-z-]*\)": "\([0-9.]*\)".*/\1 \2/p' $<` from npm into .local/$* ..."
	@mkdir -p .local/$*
	@cp $^ .local/$*/
	@cd .local/$* && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --silent --no-fund --no-audit
	@touch $@
