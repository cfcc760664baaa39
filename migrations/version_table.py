"""What comes with Alembic's version table, whose creation is the beginning of every install: the schema."""

from typing import Any

from sqlalchemy import Connection, Table, event

from migrations.sql_files import APPLICATION_PATH, OWN_PATH, execute, run


@event.listens_for(Table, "before_create")
def create_schema(_target: Table, _connection: Connection, **_kw: Any) -> None:
    """Create the schema before the table in it, in the same transaction."""
    execute(APPLICATION_PATH)
    run("deploy/schema")


@event.listens_for(Table, "after_create")
def close_path(_target: Table, _connection: Connection, **_kw: Any) -> None:
    """Return to the search path of the session."""
    execute(OWN_PATH)
