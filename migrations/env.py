"""Alembic's environment.

The version table lives in schema class_activation, so creating it is the beginning of every
install: just before it, in the same transaction, comes the schema. When there is no revision, after
a downgrade to base or a first upgrade that failed, both go again.
"""

from logging.config import fileConfig
from typing import Any

from alembic import context
from sqlalchemy import Connection, Table, create_engine, event
from sqlalchemy.pool import NullPool

from migrations.connections import SESSION_SETTINGS, connect, only_deployer, told_plainly
from migrations.options import read_options
from migrations.sql_files import read, statement

if context.config.config_file_name is not None:
    fileConfig(context.config.config_file_name, disable_existing_loggers=False)

options = read_options()

configuration: dict[str, Any] = {
    # no MetaData: with an empty one, autogenerate would propose to drop the platform's tables
    "target_metadata": None,
    "version_table_schema": "class_activation",
    "transaction_per_migration": True,
}


@event.listens_for(Table, "before_create")
def prepare(_target: Table, connection: Connection, **_kw: Any) -> None:
    """Make the schema for the version table, if this role may install at all."""
    connection.execute(statement("preflight_v1"))
    connection.execute(statement("class_activation_v1"))


def run_offline() -> None:
    """Write the SQL script: upgrade --sql."""
    context.configure(
        dialect_name="postgresql", dialect_opts={"paramstyle": "named"}, literal_binds=True, **configuration
    )
    script = context.get_context().impl
    script.static_output("\\set ON_ERROR_STOP on")
    for setting in SESSION_SETTINGS:
        context.execute(setting)
    with context.begin_transaction():
        context.run_migrations()
    context.execute(statement("drop_schema_at_base_v1"))


def run_online() -> None:
    """Migrate the database, one deployer at a time."""
    engine = create_engine("postgresql+psycopg://", creator=lambda: connect(options.url), poolclass=NullPool)
    with told_plainly(), only_deployer(options.url) as guard, engine.connect() as connection:
        guard.execute(read("own_schema_v1"))
        context.configure(connection=connection, **configuration)
        try:
            with context.begin_transaction():
                context.run_migrations()
        finally:
            connection.rollback()
            if not context.get_context().opts.get("dont_mutate"):
                guard.execute(read("drop_schema_at_base_v1"))


if context.is_offline_mode():
    run_offline()
else:
    run_online()
