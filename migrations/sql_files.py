"""Runs SQL files, online and in --sql scripts, exactly as they are written."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from alembic import context

MIGRATIONS = Path(__file__).parent
SQL = MIGRATIONS.parent / "sql"

# as in connections.SESSION_SETTINGS: what this session found, and what it set
APPLICATION_PATH = """do $do$
begin
  perform set_config('search_path', current_setting('class_activation.search_path'), false);
end;
$do$;"""
OWN_PATH = "set search_path = pg_catalog, pg_temp;"


def read(name: str, **values: str) -> str:
    """Return migrations/NAME.sql, with {KEY} replaced by each of VALUES."""
    text = (MIGRATIONS / f"{name}.sql").read_text(encoding="utf-8")
    for key, value in values.items():
        text = text.replace(f"{{{key}}}", value)
    return text


def functions() -> dict[str, str]:
    """Return the text of each file of sql/ that defines a function, by the function's signature."""
    texts = (path.read_text(encoding="utf-8") for path in sorted(SQL.glob("*/*.sql")))
    return {signature(text): text for text in texts}


def signature(text: str) -> str:
    """Return the function that a file defines, as regprocedure shows it."""
    name, arguments = re.search(
        r"^comment on function ([\w.]+)\(([^)]*)\)", text, re.MULTILINE
    ).groups()
    types = {"time": "time without time zone", "timestamptz": "timestamp with time zone"}
    return f"{name}({','.join(types.get(a.strip(), a.strip()) for a in arguments.split(',') if a.strip())})"


def signatures() -> str:
    """Return the signatures of all functions as the elements of an array in SQL."""
    return ", ".join(f"'{name}'" for name in functions())


def execute(text: str, connection: psycopg.Connection | None = None) -> None:
    """Execute SQL in the current migration, or write it into the script; on CONNECTION, if given."""
    if context.is_offline_mode():
        context.get_context().impl.static_output(text.rstrip() + "\n")
    else:
        # not through SQLAlchemy, in which a colon is a parameter and a percent sign a format
        (connection or driver_connection()).execute(text)


def driver_connection() -> psycopg.Connection:
    """Return the connection to the platform's database."""
    return context.get_bind().connection.driver_connection


def run(name: str, **values: str) -> None:
    """Execute migrations/NAME.sql in the current migration."""
    execute(read(name, **values))


@contextmanager
def application_path(connection: psycopg.Connection | None = None) -> Iterator[None]:
    """Let the platform's event triggers meet the search path that they meet when its own migrations run.

    Only for DDL that names its schemas: a query could meet what another role has planted.
    """
    execute(APPLICATION_PATH, connection)
    yield
    execute(OWN_PATH, connection)


def gexec(name: str, connection: psycopg.Connection | None = None) -> None:
    r"""Execute what the queries of migrations/NAME.sql return, as psql does; on CONNECTION, if given."""
    with application_path(connection):
        if context.is_offline_mode():
            run(name)
            return
        connection = connection or driver_connection()
        for query in filter(str.strip, read(name).split("\\gexec\n")):
            for (statement,) in connection.execute(query).fetchall():
                connection.execute(statement)
