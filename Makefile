# Everything a developer runs. Needs git, make, Python >= 3.11 and the package registries; the rest is brought along.

PYTHON ?= python3
UV     := .venvs/uv/bin/uv
BIN    := .venv/bin

# Where a company inspects its traffic, the machine knows the certificates for it, and uv by itself does not.
export UV_SYSTEM_CERTS := 1

.DEFAULT_GOAL := help
.PHONY: help environment demo test test-deep check build build-local dist bench preview generate docs lock format chromium aws-cli clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

environment: .venv/installed ## Create .venv with everything that is locked in requirements/

demo: environment build build-local .venvs/aws/installed ## Run the whole system here and watch it (ONCE=1: unattended, then uninstall)
	$(BIN)/python -m local.demo $(if $(ONCE),--once)

test: environment build build-local chromium aws-cli .venvs/aws/installed .venvs/sam/installed ## Run all tests
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGUMENTS)

test-deep: environment build .venvs/aws/installed ## Try far more lives, schedules of failures and refusals than the tests do
	TRUST=$(or $(TRUST),20000) SCHEDULES=$(or $(SCHEDULES),20000) RIGHTS=all $(BIN)/python -m pytest --timeout 0 \
	    tests/test_trust.py tests/test_schedules.py tests/installers/test_rights_of_stacks.py $(ARGUMENTS)

check: environment ## Lint, type-check, and compare what is generated with what is committed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/shellcheck *.sh installer/*.sh local/aws .ci/run tools/*.sh
	PYTHONPATH=functions $(BIN)/python -m tools.generate --check
	$(BIN)/python -m tools.check_template

build: environment ## Build the Lambda artifact for arm64 and x86_64 (build/functions-*.zip)
	$(BIN)/python -m tools.build --architecture arm64 --zip build/functions-arm64.zip
	$(BIN)/python -m tools.build --architecture x86_64 --zip build/functions-x86_64.zip

build-local: environment ## Build the same artifact, unpacked, for the Python that runs here (build/local)
	$(BIN)/python -m tools.build --architecture local --output build/local

dist: build ## Pack the release archive (build/stackstate-aws-manual-installation-*.zip)
	PYTHONPATH=functions $(BIN)/python -m tools.dist

bench: environment ## Measure a snapshot beside the least that it could cost: calls, time, memory
	$(BIN)/python -m bench $(ARGUMENTS)

preview: environment ## See what would be found in your account; sends nothing (ARGUMENTS="--profile … --regions …")
	$(BIN)/python -m preview $(ARGUMENTS)

generate: environment ## Write again what follows from the declarations (docs, policies, parts of the template)
	PYTHONPATH=functions $(BIN)/python -m tools.generate

docs: environment build build-local chromium .venvs/aws/installed ## Take the pictures of the documentation anew
	$(BIN)/python -m tools.pictures

format: environment ## Format the Python code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: .venvs/uv/installed ## Renew the locked versions in requirements/
	tools/lock.sh

chromium: environment ## Install a browser for the page's tests, where there is none
	tools/chromium.sh

aws-cli: ## Install an AWS CLI v2 for the tests of the scripts, where there is none
	tools/aws-cli.sh

clean: ## Remove everything that was built or installed here
	rm -rf .venv .venvs build .aws-sam .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venvs/uv/installed:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venvs/uv
	.venvs/uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	touch $@

.venv/installed: .venvs/uv/installed requirements/dev.txt
	$(UV) venv --quiet --clear --python $(PYTHON) .venv
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	touch $@

# The command line tools pin their own dependencies, so each has an environment of its own.
.venvs/%/installed: requirements/%.txt .venvs/uv/installed
	$(UV) venv --quiet --clear --python $(PYTHON) .venvs/$*
	$(UV) pip install --quiet --python .venvs/$*/bin/python --require-hashes -r requirements/$*.txt
	touch $@
