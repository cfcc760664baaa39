"""Alembic's environment: each command is one transaction, online and as a --sql script.

Both execute the same SQL. Decisions that depend on the database are made in SQL, in do blocks; in a script,
psql also decides which revisions are due. An upgrade to head ends with the repeatable part: the functions of
sql/, the index and the schedule.
"""

import logging
from collections.abc import Iterator
from logging.config import fileConfig
from typing import Any

from alembic import context
from alembic.util import CommandError

from migrations import schedule
from migrations.connections import cron, cron_connection, local_settings, plain_errors, platform_connection
from migrations.options import OFF, read_options
from migrations.sql_files import driver_connection, execute, literals, run

if context.config.config_file_name is not None:
    fileConfig(context.config.config_file_name, disable_existing_loggers=False)

log = logging.getLogger("alembic.class_activation")
options = read_options()
configuration: dict[str, Any] = {
    # no MetaData: with an empty one, autogenerate would propose to drop the platform's tables
    "target_metadata": None,
    "version_table_schema": "class_activation",
    "on_version_apply": lambda **_: next(guards, None),
}
DUE = "select current_setting('class_activation.revision') = any (array[{}]) as due \\gset\n\\if :due"
REPORT = "select current_setting('class_activation.report') as report"


def deploy() -> list[str]:
    """Execute the command, or write it into the script, and return the report."""
    upgrade, downgrade = command() == "upgrade", command() == "downgrade"
    run("deploy/check_schema", writes=str(writes()).lower(), downgrade=str(downgrade).lower())
    if not writes():
        context.run_migrations()
        return []

    missing = [] if context.is_offline_mode() else schedule.find_missing(driver_connection())
    if upgrade:
        default = "true" if options.schedule or options.cron_url else "not v_installed"
        asked = "false" if options.schedule == OFF else default
        run("deploy/preflight", schedules=asked, elsewhere=literals(missing))
    steps, end = plan()
    next(guards, None)
    context.run_migrations()
    if downgrade and end is None:
        if not steps and cron():  # repeated, because pg_cron's database did not commit
            schedule.remove()
        run("deploy/remove")
    done = []
    if upgrade and end == context.get_head_revision():
        run("deploy/finish")
        done = schedule.set_up()
    report = execute(REPORT + (r" \gset" if context.is_offline_mode() else ""))
    return [line for (line,) in report] + done


def command() -> str:
    """Return the command: it passes a function of its name to Alembic, however it was called."""
    return context.get_context().opts["fn"].__name__


def writes() -> bool:
    """Tell whether the command may change anything."""
    if command() == "do_stamp":
        raise CommandError("stamp writes a revision and no tables\nHINT: Run alembic upgrade head instead.")
    return command() in ("upgrade", "downgrade")


def plan() -> tuple[list[Any], str | None]:
    """Return the steps of the command, however its revision is spelled, and the revision at their end."""
    migration = context.get_context()
    heads = migration.get_current_heads()
    steps = list(migration.opts["fn"](heads, migration))
    return steps, next(iter(steps[-1].to_revisions if steps else heads), None)


def guarded() -> Iterator[None]:
    """Let a script skip steps that are not due; each next() ends a step and begins the next."""
    before: list[str] = []
    if not context.is_offline_mode():
        return
    for step in plan()[0]:
        before += step.from_revisions or [""]
        execute(DUE.format(literals(before)))
        yield
        execute(r"\endif")


def run_offline() -> None:
    """Write the SQL script for psql: upgrade --sql."""
    context.configure(
        dialect_name="postgresql", dialect_opts={"paramstyle": "named"}, literal_binds=True, **configuration
    )
    execute(r"\set ON_ERROR_STOP on")
    with context.begin_transaction(), local_settings(writes()):
        deploy()
    execute(r"\echo class activation: :report")


def run_online() -> None:
    """Migrate the database, and log the report after the commit."""
    with plain_errors(), platform_connection(options.url) as connection:
        context.configure(connection=connection, **configuration)
        # only an upgrade may create the version table
        context.get_context().opts["dont_mutate"] = command() != "upgrade"
        cron_url = options.cron_url if writes() else None
        with cron_connection(cron_url), context.begin_transaction(), local_settings(writes()):
            done = deploy()
    if done:
        log.info("%s", "; ".join(done))


guards = guarded()
if context.is_offline_mode():
    run_offline()
else:
    run_online()
