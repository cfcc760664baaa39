"""Alembic's environment.

The version table lives in schema class_activation, so creating it is the beginning of every install: just
before it, in the same transaction, comes the schema. When there is no revision, after a downgrade to base or
a first upgrade that failed, both go again. An upgrade to head ends with the repeatable part: the functions of
sql/, and the schedule.
"""

from logging.config import fileConfig
from typing import Any

from alembic import context
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from migrations import repeatable, schedule, script, version_table  # noqa: F401  (creates the schema)
from migrations.connections import SESSION_SETTINGS, connect, only_deployer, told_plainly
from migrations.options import read_options
from migrations.sql_files import application_path, execute, read, run, signatures

if context.config.config_file_name is not None:
    fileConfig(context.config.config_file_name, disable_existing_loggers=False)

options = read_options()
command = context.config.cmd_opts.cmd[0].__name__ if context.config.cmd_opts else None

configuration: dict[str, Any] = {
    # no MetaData: with an empty one, autogenerate would propose to drop the platform's tables
    "target_metadata": None,
    "version_table_schema": "class_activation",
}


def preflight() -> None:
    """Refuse to install where something is missing, and remember what is there."""
    prerequisites = repeatable.function("class_activation.prerequisites()")
    with application_path():
        execute(prerequisites.replace("class_activation.prerequisites", "pg_temp.prerequisites"))
        execute("create temporary table objects_before (oid oid);")
    run("deploy/preflight", functions=signatures())
    run("deploy/before")


def run_offline() -> None:
    """Write the SQL script, which finds out by itself which steps are due: upgrade --sql."""
    upgrade = command == "upgrade"
    guards = script.guards(upgrade)
    context.configure(
        dialect_name="postgresql",
        dialect_opts={"paramstyle": "named"},
        literal_binds=True,
        on_version_apply=lambda **_: next(guards, None),
        **configuration,
    )
    to_head = upgrade and context.get_revision_argument() == context.get_head_revision()
    script.write(r"\set ON_ERROR_STOP on")
    for setting in SESSION_SETTINGS:
        context.execute(setting)
    run("deploy/own_schema")
    script.end_where_nothing_is_due(upgrade)
    run("deploy/tables_are_there")
    if upgrade:
        preflight()
    with context.begin_transaction():
        next(guards, None)
        context.run_migrations()
        if to_head:
            repeatable.apply()
            schedule.set_up()
    run("deploy/drop_schema_at_base")
    script.say_where_it_ends()


def run_online() -> None:
    """Migrate the database, one deployer at a time."""
    engine = create_engine("postgresql+psycopg://", creator=lambda: connect(options.url), poolclass=NullPool)
    with told_plainly(), only_deployer(options.url) as guard, engine.connect() as connection:
        guard.execute(read("deploy/own_schema"))
        if command in ("upgrade", "downgrade"):
            guard.execute(read("deploy/tables_are_there"))
            schedule.preflight(guard)
        context.configure(connection=connection, **configuration)
        if command == "upgrade":
            with context.begin_transaction():
                preflight()
            repeatable.rebuild_index(guard)
        try:
            with context.begin_transaction():
                context.run_migrations()
                if to_head := command == "upgrade" and is_at_head():
                    repeatable.apply()
            if to_head:
                with context.begin_transaction():
                    schedule.set_up()
            schedule.commit_elsewhere()
        finally:
            schedule.discard_elsewhere()
            connection.rollback()
            if not context.get_context().opts.get("dont_mutate"):
                guard.execute(read("deploy/drop_schema_at_base"))


def is_at_head() -> bool:
    """Whether the newest revision is installed, and with it the functions of sql/ belong there."""
    return context.get_context().get_current_revision() == context.get_head_revision()


if context.is_offline_mode():
    run_offline()
else:
    run_online()
