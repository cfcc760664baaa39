# Each command sets up all that it needs; SERVER=local or SERVER=docker chooses the server.
VENV := .venv
READY := $(VENV)/ready
DEBIAN := $(VENV)/debian

.PHONY: help demo test lint mornings bench clean

help:
	@echo "make demo       the job on a sample platform, until pg_cron activates a class by itself"
	@echo "make test       all tests (PYTEST='-k sessions' for some); SERVER=docker for PostgreSQL 17"
	@echo "make lint       style of Python and shell"
	@echo "make mornings   5 AM at seven facilities, ours and the platform's, on a clock that is moved (Docker)"
	@echo "make bench      what the job costs, side by side with four other ways to do the same"

demo: $(READY)
	@tests/with-postgres $(VENV)/bin/python tests/demo.py

test: $(READY) $(DEBIAN)
	@PATH="$(CURDIR)/$(DEBIAN)/usr/bin:$$PATH" tests/with-postgres $(VENV)/bin/pytest $(PYTEST)

lint: $(READY)
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@for script in tests/apt-install tests/make-venv tests/unpack-debian tests/with-postgres .ci/run; do bash -n $$script; done

mornings: $(READY)
	@SERVER=docker tests/with-postgres $(VENV)/bin/python tests/mornings.py

bench: $(READY)
	@tests/with-postgres $(VENV)/bin/python tests/bench.py

clean:
	rm -rf $(VENV) .hypothesis .pytest_cache .ruff_cache

$(READY): pyproject.toml constraints.txt
	@tests/make-venv $(VENV)
	@touch $@

$(DEBIAN): $(READY)
	@tests/unpack-debian $@ prometheus prometheus-sql-exporter
	@touch $@
