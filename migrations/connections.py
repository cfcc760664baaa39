"""Connections to PostgreSQL: libpq's own strings and variables, always psycopg 3."""

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext

import psycopg
from alembic import context
from alembic.util import CommandError
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from migrations.options import read_options
from migrations.sql_files import execute, read

HINTS = {
    "42501": "Nothing was changed. Deploy as the owner of the platform's tables, or as a superuser.",
    "55P03": "Nothing was changed. Another session is using the table: run the command again.",
}


def connection_string(url: str) -> str:
    """Return URL as libpq accepts it; errors do not repeat it, because it may contain a password."""
    string = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", url)
    # after an "@" or "/", libpq would take the rest of a password for the host, the port or the database
    authority, _, rest = string.partition("://")[2].partition("/")
    try:
        if authority.count("@") > 1 or "@" in rest:
            raise psycopg.ProgrammingError
        conninfo_to_dict(string)
    except psycopg.ProgrammingError:
        raise CommandError(
            "invalid connection string\nHINT: In a URL, encode special characters of the password (@ is %40) "
            "or use PGPASSWORD or ~/.pgpass."
        ) from None
    return string


def connect(url: str) -> psycopg.Connection:
    """Connect to URL (or, if that is empty, where libpq's PG* variables point), and begin a transaction."""
    # a pooler may run each transaction in another session, which does not know the prepared statements
    string, settings = connection_string(url), read("deploy/settings")
    connection = psycopg.connect(string, client_encoding="utf8", prepare_threshold=None)
    connection.execute(settings)
    return connection


@contextmanager
def platform_connection(url: str) -> Iterator[Connection]:
    """Yield a connection to the platform's database: the caller's if there is one, else a new one to URL."""
    given = context.config.attributes.get("connection")
    if isinstance(given, Connection):
        if given.connection.driver_connection.autocommit:
            raise CommandError("the connection is in AUTOCOMMIT mode\nHINT: Pass one with a transaction.")
        if read_options().cron_url and given.in_transaction():
            raise CommandError("cron_url would commit before the caller's transaction\nHINT: Pass an engine.")
        yield given
        return
    engine = given or create_engine("postgresql+psycopg://", creator=lambda: connect(url), poolclass=NullPool)
    with engine.connect() as connection:
        yield connection


@contextmanager
def local_settings(writes: bool) -> Iterator[None]:
    """Apply the settings of a deployment and restore the old ones: the transaction may be the caller's."""
    settings = read("deploy/settings")
    names = re.findall(r"set local (\w+)", settings)
    query = ", ".join(f"pg_catalog.current_setting('{name}')" for name in names)
    if writes:
        execute("set transaction isolation level read committed, read write;")
    before = () if context.is_offline_mode() else execute(f"select {query}")[0]
    execute(settings)
    yield
    for name, value in zip(names, before, strict=False):
        literal = value.replace("'", "''")
        execute(f"select pg_catalog.set_config('{name}', '{literal}', true)")


@contextmanager
def cron_connection(url: str | None) -> Iterator[None]:
    """Open a transaction in pg_cron's database at URL, for cron(); it commits after the platform's."""
    with closing(connect(url)) if url else nullcontext() as connection:
        context.config.attributes["cron_connection"] = connection
        yield
        try:
            if connection:
                connection.commit()
        except psycopg.Error as error:
            raise CommandError(
                "the deployment is committed in the platform's database, but not in pg_cron's database"
                f" {connection.info.dbname}: {error}\nHINT: Run the command again."
            ) from error


def cron() -> psycopg.Connection | None:
    """Return the connection to pg_cron's database, if that is another one."""
    return context.config.attributes.get("cron_connection")


@contextmanager
def plain_errors() -> Iterator[None]:
    """Show an error of the server as message, detail and hint, without a traceback."""
    try:
        yield
    except (psycopg.Error, DBAPIError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        diag = getattr(cause, "diag", None)
        if diag is None or diag.sqlstate is None:
            raise CommandError(str(cause)) from error
        detail, hint = diag.message_detail, diag.message_hint or HINTS.get(diag.sqlstate)
        if diag.message_primary.startswith("invalid schedule"):  # pg_cron's own words
            hint = "Nothing was changed. Pass a cron expression in GMT, such as -x 'schedule=*/15 * * * *'."
        lines = [f"{diag.message_primary} (SQLSTATE {diag.sqlstate})", detail and f"DETAIL: {detail}"]
        raise CommandError("\n".join(filter(None, [*lines, hint and f"HINT: {hint}"]))) from error
