# Each target installs its prerequisites; SERVER=local or SERVER=docker chooses the server.
VENV := .venv
READY := $(VENV)/ready
DEBIAN := $(VENV)/debian
PROCESSES := $(shell expr $$(nproc) + 1)
RELEASE := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
DIST := dist
PYTHON := PYTHONPATH=tests $(VENV)/bin/python

.PHONY: help demo test quick lint mornings platform bench dist clean

help:
	@echo "make demo       the job on a sample platform, up to a class that pg_cron activates by itself"
	@echo "make test       all tests (select with PYTEST='-k sessions'); SERVER=docker for PostgreSQL 17"
	@echo "make quick      tests of the functions, on one platform schema, in less than a minute"
	@echo "make lint       check the style of Python and shell"
	@echo "make mornings   activation times at seven facilities, this job vs. the worker, with a faked clock (Docker)"
	@echo "make platform   the job with the platform's own migrations (MIGRATIONS=../UnlockEdv2/backend/migrations)"
	@echo "make dist       dist/class-activation-$(RELEASE).sql and -uninstall.sql, for psql only"
	@echo "make bench      the cost of the job, compared with five alternatives"

demo: $(READY)
	@tools/with-postgres env $(PYTHON) tools/demo.py

test: $(READY) $(DEBIAN)
	@PATH="$(CURDIR)/$(DEBIAN)/usr/bin:$(CURDIR)/$(DEBIAN)/usr/sbin:$$PATH" tools/with-postgres $(VENV)/bin/pytest -n $(PROCESSES) $(PYTEST)

quick: $(READY)
	@tools/with-postgres $(VENV)/bin/pytest -n $(PROCESSES) -m "not slow" -k "not cohorts" --no-header \
	  tests/test_activation.py tests/test_bad_classes.py tests/test_preview.py tests/test_health.py tests/test_revert.py tests/test_holds.py tests/test_sessions.py $(PYTEST)

lint: $(READY)
	@$(VENV)/bin/pre-commit run --all-files

mornings: $(READY)
	@SERVER=docker tools/with-postgres env $(PYTHON) tools/mornings.py

# pg_virtualenv prints the log of its server when the command fails, so the command's exit code is printed, not returned
platform: $(READY)
	@exec 4>&1; exit $$(tools/with-postgres sh -c '"$$@" >&4; echo $$?' sh \
	  env $(PYTHON) -u tools/platform_chain.py "$(MIGRATIONS)" "$(or $(FROM),1)" "$(KEEP)" | grep --line-regexp '[0-9]*')

bench: $(READY)
	@tools/with-postgres env $(PYTHON) tools/bench.py

dist: $(READY)
	@mkdir -p $(DIST)
	@$(VENV)/bin/alembic -x schedule=off upgrade head --sql >$(DIST)/class-activation-$(RELEASE).sql
	@$(VENV)/bin/alembic downgrade head:base --sql >$(DIST)/class-activation-$(RELEASE)-uninstall.sql

clean:
	rm -rf dist $(VENV) .hypothesis .pytest_cache .ruff_cache

$(READY): pyproject.toml constraints.txt
	@tools/make-venv $(VENV)
	@touch $@

$(DEBIAN): $(READY)
	@tools/unpack-debian $@ pgbouncer prometheus prometheus-sql-exporter
	@touch $@
