# Two commands do everything on a machine with Python 3.11+ and make:
#   make deploy VERSION=v1.2.0    releases a version on the embedded platform
#   make test                     passes the tests
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.installed
PYTEST_ARGUMENTS ?=
# make itself ends with 2 whatever a command ended with, so the status of the release is printed.
TELL_STATUS = || { status=$$?; echo "exit status of the release: $$status (README.md, Exit statuses)" >&2; exit $$status; }
# Releases mostly wait, so there are more workers than cores (tests/tiers.py).
TESTS = $(VENV)/bin/pytest tests -q -rfEs -p no:anyio -n auto --dist loadgroup --timeout 600 $(PYTEST_ARGUMENTS)

# Compiled modules are kept: without them each command that a test starts compiles hundreds of files.
unexport PYTHONDONTWRITEBYTECODE
# A failure may come from the other tests that shared the processors. So what failed runs once more, alone, and is named.
# What fails twice is a failure. CPython's own test runner does the same (--rerun).
AGAIN = { [ $$? -eq 1 ] && echo "What failed beside other tests runs once more, alone:" >&2 && \
	$(VENV)/bin/pytest tests -q -rfEs -n 0 --timeout 600 --last-failed --last-failed-no-failures none --maxfail 3; }

.PHONY: help deploy rollback status up down venv test tests check unit lint types clean
.DEFAULT_GOAL := help

help:
	@echo "make deploy VERSION=v1.2.0   release a version (embedded platform: no root, no Docker)"
	@echo "make rollback REASON='...'   go back to the version before"
	@echo "make status                  show which version serves users"
	@echo "make up                      start the site"
	@echo "make down                    stop the site"
	@echo "make unit                    run the tests that run in memory (30 seconds)"
	@echo "make check                   run lint, types and the tests for a pull request (4 minutes)"
	@echo "make test                    run lint, types and all tests (20 minutes)"
	@echo "make ends with 2 after every failure. A script runs .venv/bin/pytest and gets the exit status of the release."

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[embedded,dev]'
	@touch $@

venv: $(STAMP)

deploy: $(STAMP)
	@test -n "$(VERSION)" || { echo "the version is missing: make deploy VERSION=v1.2.0" >&2; exit 4; }
	$(VENV)/bin/pytest suites/deploy --version "$(VERSION)" $(TELL_STATUS)

rollback: $(STAMP)
	$(VENV)/bin/pytest suites/rollback --reason "$(REASON)" $(if $(VERSION),--version "$(VERSION)") $(TELL_STATUS)

status up down: $(STAMP)
	$(VENV)/bin/cakravia $@

lint: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: $(STAMP)
	$(VENV)/bin/mypy

# Thousands of histories, each line synced, need no real disk.
unit: $(STAMP)
	@folder=$$(mktemp -d /dev/shm/cakravia-unit.XXXXXX 2>/dev/null || mktemp -d) && { \
	$(TESTS) -n 2 -m memory --durations=5 --basetemp="$$folder/tests"; status=$$?; rm -rf "$$folder"; exit $$status; }

check: SELECTED = -m 'memory or (check and not slow)'
check: test

test: lint
	@$(MAKE) --no-print-directory --jobs=2 types tests SELECTED="$(SELECTED)"

tests: $(STAMP)
	$(TESTS) $(SELECTED) --durations=25 || $(AGAIN)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
