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
    """Return URL as libpq takes it; an invalid one is not repeated, since it may be part of a password."""
    string = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", url)
    # libpq would take what follows an "@" or "/" in a password for the host, the port or the database
    authority, _, rest = string.partition("://")[2].partition("/")
    try:
        if authority.count("@") > 1 or "@" in rest:
            raise psycopg.ProgrammingError
        conninfo_to_dict(string)
    except psycopg.ProgrammingError:
        raise CommandError(
            "invalid connection string\nHINT: In a URL, write special characters of the password as %40 and "
            "the like, or leave it to PGPASSWORD or ~/.pgpass."
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
    """Yield a connection to the platform's database: the caller's, if it has passed one, else one to URL."""
    given = context.config.attributes.get("connection")
    if isinstance(given, Connection):
        if given.connection.driver_connection.autocommit:
            raise CommandError("the connection is in mode AUTOCOMMIT\nHINT: Pass one with a transaction.")
        if read_options().cron_url and given.in_transaction():
            raise CommandError("cron_url would commit before the caller's transaction\nHINT: Pass an engine.")
        yield given
        return
    engine = given or create_engine("postgresql+psycopg://", creator=lambda: connect(url), poolclass=NullPool)
    with engine.connect() as connection:
        yield connection


@contextmanager
def local_settings(writes: bool) -> Iterator[None]:
    """Have the settings of a deployment until the end of the block: the transaction may be the caller's."""
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
    """Have a transaction in pg_cron's database at URL, for cron(), that commits after the platform's."""
    with closing(connect(url)) if url else nullcontext() as connection:
        context.config.attributes["cron_connection"] = connection
        yield
        try:
            if connection:
                connection.commit()
        except psycopg.Error as error:
            raise CommandError(
                f"the platform's database is done, but not pg_cron's, database {connection.info.dbname}:"
                f" {error}\nHINT: Run the command again: that is enough."
            ) from error


def cron() -> psycopg.Connection | None:
    """Return the connection to pg_cron's database, where that is another one."""
    return context.config.attributes.get("cron_connection")


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn an error of the server into what a deployer can act on: message, detail, hint, no traceback."""
    try:
        yield
    except (psycopg.Error, DBAPIError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        said = getattr(cause, "diag", None)
        if said is None or said.sqlstate is None:
            raise CommandError(str(cause)) from error
        detail, hint = said.message_detail, said.message_hint or HINTS.get(said.sqlstate)
        if said.message_primary.startswith("invalid schedule"):  # pg_cron's own words
            hint = "Nothing was changed. Pass a cron expression in GMT, such as -x 'schedule=*/15 * * * *'."
        lines = [f"{said.message_primary} (SQLSTATE {said.sqlstate})", detail and f"DETAIL: {detail}"]
        raise CommandError("\n".join(filter(None, [*lines, hint and f"HINT: {hint}"]))) from error
