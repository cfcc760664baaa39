"""Connections to PostgreSQL: libpq's own strings and variables, always psycopg 3."""

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from alembic.util import CommandError
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.exc import DBAPIError

SESSION_SETTINGS = (
    "set statement_timeout = 0",
    # whatever the role or the database has set, a deployment takes its time, writes, and reads SQL as it is
    # written; not all versions of PostgreSQL have all of these
    """do $do$
begin
  perform pg_catalog.set_config(s.name, v.value, false)
  from (values
    ('client_encoding', 'UTF8'),
    ('default_transaction_isolation', 'read committed'),
    ('default_transaction_read_only', 'off'),
    ('idle_in_transaction_session_timeout', '0'),
    ('idle_session_timeout', '0'),
    ('quote_all_identifiers', 'off'),
    ('standard_conforming_strings', 'on'),
    ('transaction_timeout', '0')
  ) v (name, value)
  join pg_catalog.pg_settings s on s.name operator(pg_catalog.=) v.name;
end;
$do$""",
    # for the platform's event triggers, see application_path()
    """do $do$
begin
  perform pg_catalog.set_config('class_activation.search_path', pg_catalog.concat_ws(', ',
    case when s.path operator(pg_catalog.~) 'pg_catalog' then 'pg_catalog' end, s.path, 'pg_temp'), false)
  from (select pg_catalog.current_setting('search_path')) s (path);
end;
$do$""",
    # nothing planted in another schema is found by name
    "set search_path = pg_catalog, pg_temp",
    # a lock that a busy table does not yield is an error, not a queue for everybody else
    "set lock_timeout = '4s'",
)

# What a pooler calls the process of the server is one that it made up. Nothing may stay in a pooled session,
# and a pooler may give each message to another one: so it is "local", and it is one message.
POOLED = """
set local statement_timeout = 0;
select concat_ws(' ', 'host=' || host(inet_server_addr()), 'port=' || coalesce(inet_server_port()::text,
  current_setting('port')))
where pg_backend_pid() <> {pid}
"""

LOCK = "select pg_try_advisory_lock(hashtext('class_activation'), hashtext('alembic'))"
LOCK_WAIT_SECONDS = 600

HINTS = {
    psycopg.errors.InsufficientPrivilege: "Deploy as the owner of the platform's tables, or as a superuser.",
    psycopg.errors.LockNotAvailable: "Another session is at work on the table: repeat the command, "
    "which goes on where this one stopped.",
}

log = logging.getLogger("alembic.class_activation")


def connection_string(url: str) -> str:
    """Return URL as libpq takes it; what is wrong is not repeated, because it may be a part of a password."""
    string = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", url)
    # libpq would take what follows an "@" or "/" in a password for the host, the port or the database
    authority, _, rest = string.partition("://")[2].partition("/")
    try:
        if authority.count("@") > 1 or "@" in rest:
            raise psycopg.ProgrammingError
        conninfo_to_dict(string)
    except psycopg.ProgrammingError:
        raise CommandError(
            "the connection string is not one that libpq takes\nHINT: In a URL, write special characters of "
            "the password as %40 and the like, or leave it to PGPASSWORD or ~/.pgpass."
        ) from None
    return string


def connect(url: str) -> psycopg.Connection:
    """Connect to URL (or, if that is empty, where libpq's PG* variables point)."""
    connection = psycopg.connect(connection_string(url), autocommit=True, prepare_threshold=None)
    answer = connection.execute(POOLED.format(pid=connection.info.backend_pid))
    answer.nextset()
    if direct := answer.fetchone():
        connection.close()
        raise CommandError(
            "the connection leads through a pooler, in whose sessions a deployment would leave its settings\n"
            f"HINT: Nothing was done. Connect to the server itself, which the pooler reaches at {direct[0]}."
        )
    connection.execute(";\n".join(SESSION_SETTINGS))
    connection.autocommit = False
    return connection


@contextmanager
def only_deployer(url: str) -> Iterator[psycopg.Connection]:
    """Yield a connection that keeps every other deployer out while it is open.

    It polls, because a waiting pg_advisory_lock() would hold a snapshot, for which the other
    deployer's "create index concurrently" waits.
    """
    with connect(url) as guard:
        guard.autocommit = True
        deadline = time.monotonic() + LOCK_WAIT_SECONDS
        while not guard.execute(LOCK).fetchone()[0]:
            if time.monotonic() > deadline:
                raise CommandError(
                    f"another deployment has been at work for {LOCK_WAIT_SECONDS} s: look for it in "
                    "pg_locks (locktype 'advisory'), then repeat"
                )
            log.info("Waiting for another deployment to end")
            time.sleep(1)
        yield guard


@contextmanager
def told_plainly() -> Iterator[None]:
    """Turn an error of the server into what a deployer can act on: message, detail, hint, no traceback."""
    try:
        yield
    except (psycopg.Error, DBAPIError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        said = cause.diag
        lines = [
            f"{said.message_primary or cause} (SQLSTATE {said.sqlstate})" if said.sqlstate else str(cause)
        ]
        if said.message_detail:
            lines.append(f"DETAIL: {said.message_detail}")
        if hint := said.message_hint or HINTS.get(type(cause)):
            lines.append(f"HINT: {hint}")
        raise CommandError("\n".join(lines)) from error
