"""Shared by the tests and the demo: a database with the platform in it, and Alembic."""

import io
import os
import re
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

import psycopg
from alembic.config import CommandLine, Config
from psycopg.rows import namedtuple_row

ROOT = Path(__file__).parent.parent
BATCH_USER = 99999
# the command of the job in pg_cron
COMMAND = "select class_activation.tick()"
# the options of a deployment without pg_cron
OFF = ["schedule=off"]
# those that the platform's screens offer
US_CITIES = ("New_York", "Chicago", "Denver", "Phoenix", "Los_Angeles", "Anchorage")
US_ZONES = [f"America/{city}" for city in US_CITIES]
# the classes that the platform's own worker makes Active
PLATFORMS_DUE = """
select c.id from public.program_classes c join public.facilities f on f.id = c.facility_id
where c.status = 'Scheduled' and c.archived_at is null and c.deleted_at is null
  and c.start_dt <= (now() at time zone f.timezone)::date
"""


class Database:
    """A database, with one connection in autocommit mode, and functions that insert rows of the platform."""

    def __init__(self, name: str, port: str | None = None) -> None:
        self.name = name
        self.port = port or os.environ.get("PGPORT", "5432")
        self._connections: list[psycopg.Connection] = []
        self.connection = self.connect()
        # the table that differs between the schemas of the platform, for {classes} in the SQL of a test
        self.classes = "public.program_classes"
        if self.value("select to_regclass('public.program_class_cohorts') is not null"):
            self.classes = "public.program_class_cohorts"

    def connect(self, **kwargs: Any) -> psycopg.Connection:
        """Open another session; it ends with the test."""
        given = {"autocommit": True, "client_encoding": "utf8", "row_factory": namedtuple_row, **kwargs}
        self._connections.append(psycopg.connect(dbname=self.name, port=self.port, **given))
        return self._connections[-1]

    def wait_until_alone(self) -> None:
        """Await the end of every other session, and with it of their temporary objects."""
        alone = "select count(*) = 1 from pg_stat_activity where datname = current_database()"
        wait_until(lambda: self.value(alone))

    def reconnect(self) -> None:
        """Replace all sessions by a new one."""
        self.close()
        self.connection = self.connect()

    def close(self) -> None:
        for connection in self._connections:
            connection.close()

    def execute(self, sql: str, *params: Any) -> psycopg.Cursor:
        return self.connection.execute(sql.replace("{classes}", self.classes), params or None)

    @property
    def cohorts(self) -> bool:
        return self.classes == "public.program_class_cohorts"

    @property
    def label(self) -> str:
        """The name of the table with the status in history and change log."""
        return self.classes.removeprefix("public.")

    @property
    def class_key(self) -> str:
        """The column of an enrollment that refers to that table."""
        return "cohort_id" if self.cohorts else "class_id"

    def rows(self, sql: str, *params: Any) -> list[Any]:
        """Return all rows of a query."""
        return self.execute(sql, *params).fetchall()

    def row(self, sql: str, *params: Any) -> Any:
        """Return the only row of a query."""
        (row,) = self.rows(sql, *params)
        return row

    def value(self, sql: str, *params: Any) -> Any:
        """Return the only value of a query."""
        (value,) = self.row(sql, *params)
        return value

    def catalog(self) -> dict[tuple[str, str], str]:
        """Return the definition of everything that is objects, by kind and name."""
        return {row[:2]: row.definition for row in self.rows((ROOT / "tests/catalog.sql").read_text())}

    def load_platform(self) -> None:
        self.classes = "public.program_classes"
        self.execute((ROOT / "tests/platform.sql").read_text())

    def restructure(self) -> None:
        """Run the platform's migration 74: cohorts."""
        self.execute((ROOT / "tests/platform_cohorts.sql").read_text())
        # so that no later cohort has the id of its class
        self.execute(
            "select setval('public.program_classes_id_seq', greatest(1000, max(id)))"
            " from public.program_classes"
        )
        self.classes = "public.program_class_cohorts"

    def undo_restructuring(self) -> None:
        """Run the platform's migration 74 downwards."""
        self.execute((ROOT / "tests/platform_one_tier.sql").read_text())
        self.classes = "public.program_classes"

    def insert(self, table: str, **columns: Any) -> int:
        """Insert a row of the platform and return its id."""
        names, marks = ", ".join(columns), ", ".join(["%s"] * len(columns))
        sql = f"insert into public.{table} ({names}) values ({marks}) returning id"
        return self.value(sql, *columns.values())

    def facility(self, timezone: str = "America/Chicago", **columns: Any) -> int:
        columns = {"name": f"Facility in {timezone}", "timezone": timezone, **columns}
        return self.insert("facilities", **columns)

    def resident(self) -> int:
        """Insert a user who can be enrolled."""
        names = {"username": "resident", "name_first": "R", "name_last": "R"}
        return self.insert("users", **names, email="r@example.org", role="student")

    def program(self) -> int:
        return self.insert("programs", name="Program")

    def class_(
        self, facility_id: int | None = None, start_dt: date | str = "2026-03-02", **columns: Any
    ) -> int:
        """Insert a class, or a cohort and its class; by default Scheduled."""
        columns = {"program_id": columns.pop("program_id", None) or self.program(), **columns}
        columns = {"facility_id": facility_id or self.facility(), "name": f"Class of {start_dt}", **columns}
        if self.cohorts:
            tier = {key: columns[key] for key in ("program_id", "facility_id", "name")}
            columns["class_id"] = self.insert("program_classes", **tier)
            del columns["name"]
        return self.insert(self.label, **{"start_dt": start_dt, "status": "Scheduled", **columns})

    def due_classes(self, number: int, **expressions: str) -> None:
        """Insert many classes, or cohorts of one class, at one facility; columns are expressions over i."""
        place = {"program_id": self.program(), "facility_id": self.facility()}
        if self.cohorts:
            place["class_id"] = self.insert("program_classes", **place, name="Class")
        columns = {**place, "start_dt": "date '2026-02-01'", "status": "'Scheduled'", **expressions}
        self.execute(
            f"insert into {{classes}} ({', '.join(columns)})"
            f" select {', '.join(map(str, columns.values()))} from generate_series(1, {number}) i"
        )

    def enrollment(self, class_id: int, **columns: Any) -> int:
        """Enroll a resident in a class or cohort; by default Enrolled and without enrolled_at."""
        columns = {"user_id": columns.pop("user_id", None) or self.resident(), **columns}
        columns = {self.class_key: class_id, "enrollment_status": "Enrolled", **columns}
        if self.cohorts:
            columns["class_id"] = self.value("select class_id from {classes} where id = %s", class_id)
        return self.insert("program_class_enrollments", **columns)

    def run(
        self, as_of: str | None = None, not_before: str | None = None, max_classes: int | None = None
    ) -> list[Any]:
        """Call the job with the given arguments and return its rows."""
        given = {"p_as_of": as_of, "p_not_before": not_before, "p_max_classes": max_classes}
        given = {name: value for name, value in given.items() if value is not None}
        arguments = ", ".join(f"{name} => %s" for name in given)
        return self.rows(f"select * from public.activate_scheduled_classes({arguments})", *given.values())

    def preview(self, *arguments: Any) -> dict[int, Any]:
        """Return the rows of preview by class."""
        return {row.class_id: row for row in self.call("preview", *arguments)}

    def health(self, *arguments: Any) -> Any:
        (row,) = self.call("health", *arguments)
        return row

    def findings(self, but: str = "$") -> dict[str, Any]:
        """Return the rows of doctor that are not ok, by check, without those whose name matches BUT."""
        rows = [row for row in self.call("doctor") if row.level != "ok"]
        return {row.check_name: row for row in rows if not re.match(but, row.check_name)}

    def outcomes(self, *arguments: Any) -> dict[int, tuple[str, int]]:
        """Revert a run and return the outcome and the number of enrollments by class."""
        rows = self.call("revert", *arguments)
        return {row.class_id: (row.outcome, row.enrollments_reverted) for row in rows}

    def revert(self, *arguments: Any) -> dict[int, int]:
        """Revert a run and return the number of enrollments of each class that was reverted."""
        found = self.outcomes(*arguments).items()
        return {class_id: number for class_id, (outcome, number) in found if outcome == "reverted"}

    def call(self, function: str, *arguments: Any) -> list[Any]:
        """Return the rows of a function of schema class_activation."""
        marks = ", ".join(["%s"] * len(arguments))
        return self.rows(f"select * from class_activation.{function}({marks})", *arguments)

    def last_run(self) -> Any:
        """Return the newest row of class_activation.runs."""
        return self.row("select * from class_activation.runs order by id desc limit 1")

    def status(self, class_id: int) -> str:
        return self.value("select status::text from {classes} where id = %s", class_id)

    def enrolled_at(self, enrollment_id: int) -> Any:
        sql = "select enrolled_at from public.program_class_enrollments where id = %s"
        return self.value(sql, enrollment_id)


def start_alembic(
    *arguments: str,
    database: str,
    x: Sequence[str] = (),
    env: dict[str, str] | None = None,
    project: Path = ROOT,
) -> subprocess.Popen:
    """Start the alembic command as a deployer does."""
    return subprocess.Popen(
        [sys.executable, "-m", "alembic", *options(x), *arguments],
        cwd=project,
        env={**os.environ, "PGDATABASE": database, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def options(x: Sequence[str]) -> list[str]:
    """Return the arguments that pass the options X."""
    return [part for option in x for part in ("-x", option)]


def finished(process: subprocess.Popen) -> subprocess.CompletedProcess:
    """Wait for a command and return it with its output."""
    with process:
        stdout, stderr = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def alembic(
    *arguments: str, database: str, x: Sequence[str] = (), env: dict[str, str] | None = None
) -> subprocess.CompletedProcess:
    """Run the alembic command in this process, which saves the second that it takes to start."""
    command_line = CommandLine()
    given = command_line.parser.parse_args([*options(x), *arguments])
    stdout, stderr, returncode = io.StringIO(), io.StringIO(), 0
    variables = patch.dict(os.environ, {"PGDATABASE": database, **(env or {})})
    with variables, redirect_stdout(stdout), redirect_stderr(stderr):
        try:
            config = Config(ROOT / "alembic.ini", cmd_opts=given, stdout=stdout, output_buffer=stdout)
            command_line.run_cmd(config, given)
        except SystemExit as error:
            returncode = error.code
        except Exception:
            traceback.print_exc()
            returncode = 1
    return subprocess.CompletedProcess(arguments, returncode, stdout.getvalue(), stderr.getvalue())


def deploy(*arguments: str, project: Path = ROOT, **given: Any) -> str:
    """Run the alembic command of the release in PROJECT, which must succeed, and return its output."""
    if project == ROOT:
        process = alembic(*arguments, **given)
    else:
        process = finished(start_alembic(*arguments, project=project, **given))
    assert process.returncode == 0, process.stderr
    return process.stdout


def refused(database: Database, *command: str, x: Sequence[str] = OFF) -> str:
    """Run the alembic command, by default an upgrade; it must fail and change nothing. Return its message."""
    before = database.catalog()
    process = alembic(*(command or ("upgrade", "head")), database=database.name, x=x)
    assert process.returncode != 0, process.stderr
    assert database.catalog() == before
    return process.stderr


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until(condition: Callable[[], Any], timeout: float = 60) -> Any:
    """Await a condition of the server and return its value."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)
    return value


def waits_for(db: Database, session: psycopg.Connection, *events: str) -> bool:
    """Return whether SESSION waits for one of the EVENTS (a wait_event or its type)."""
    waits = "select array[wait_event, wait_event_type] && %s::text[] from pg_stat_activity where pid = %s"
    return db.value(waits, list(events), session.info.backend_pid)


def posix_zone(utc_offset: timedelta) -> str:
    """Return the POSIX name of a zone, whose sign is the opposite of the usual one."""
    seconds = -int(utc_offset.total_seconds())
    hours, rest = divmod(abs(seconds), 3600)
    return f"<T>{'-' if seconds < 0 else '+'}{hours:02}:{rest // 60:02}:{rest % 60:02}"


def url(database: str, **parts: str) -> str:
    """Return a postgresql:// URL of a database on the server of the PG* variables."""
    user = parts.get("user", os.environ.get("PGUSER", "postgres"))
    password = parts.get("password", os.environ.get("PGPASSWORD", ""))
    host, port = os.environ.get("PGHOST", "localhost"), os.environ.get("PGPORT", "5432")
    return f"postgresql://{quote(user, safe='')}:{quote(password, safe='')}@{host}:{port}/{database}"


def as_role(database: Database, role: str, *x: str) -> list[str]:
    """Return the options with which ROLE deploys, X included."""
    return [f"url={url(database.name, user=role, password='secret')}", *x]


def grant_ddl(database: Database, role: str) -> None:
    """Give ROLE the rights to create schemas, and objects in public."""
    database.execute(f"grant create on database {database.name} to {role}")
    database.execute(f"grant create, usage on schema public to {role}")


def own_platform(platform: Database, role: str) -> None:
    """Make ROLE the owner of the platform, with only the rights that installing needs."""
    grant_ddl(platform, role)
    for (table,) in platform.rows("select tablename from pg_tables where schemaname = 'public'"):
        platform.execute(f"alter table public.{table} owner to {role}")


def objects(database: Database) -> list[Any]:
    """Return kind, name, owner, comment, and rights of other roles, of each object of class activation."""
    return database.rows(
        """
        select o.kind, o.name, pg_get_userbyid(o.owner)::text as owner, o.comment, array(
            select a.privilege_type || ' to '
              || case a.grantee when 0 then 'public' else pg_get_userbyid(a.grantee) end
            from aclexplode(coalesce(o.acl, acldefault(o.type::"char", o.owner))) a
            where a.grantee <> o.owner
          ) as rights
        from (
          select 'schema', 'n', nspname::text, nspowner, nspacl, obj_description(oid, 'pg_namespace')
          from pg_namespace where nspname ~ '^class_activation'
          union all
          select case relkind when 'S' then 'sequence' when 'i' then 'index' else 'table' end,
            case relkind when 'S' then 's' else 'r' end,
            oid::regclass::text, relowner, relacl, obj_description(oid, 'pg_class')
          from pg_class where relname = 'class_activation_due_idx'
            or relnamespace::regnamespace::text ~ '^class_activation' and relkind <> 'i'
          union all
          select 'function', 'f', format('%s.%s', pronamespace::regnamespace, proname), proowner, proacl,
            obj_description(oid, 'pg_proc')
          from pg_proc where proname = 'activate_scheduled_classes'
            or pronamespace::regnamespace::text ~ '^class_activation'
        ) o (kind, type, name, owner, acl, comment)
        """
    )


def owners(database: Database) -> set[str]:
    return {row.owner for row in objects(database)}


def psql(database: Database, script: str) -> str:
    """Run a script as a DBA does."""
    return client(database, "psql", "--no-psqlrc", "--quiet", script=script)


def client(database: Database, *command: str, script: str = "") -> str:
    """Run a client program of PostgreSQL, which must succeed, and return its standard output."""
    env = {**os.environ, "PGDATABASE": database.name, "PGPORT": database.port}
    process = subprocess.run(command, input=script, env=env, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    return process.stdout


@contextmanager
def running(*command: str, cwd: Path = ROOT, **variables: str) -> Iterator[subprocess.Popen]:
    """A program, without the PG* variables, until the end of the block."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=cwd, env={**env, **variables}, **silent) as process:
        try:
            yield process
        finally:
            process.terminate()


@contextmanager
def open_transaction(db: Database, *statements: str) -> Iterator[psycopg.Connection]:
    """Another session that has run the statements and not committed; it rolls back at the end."""
    session = db.connect(autocommit=False)
    for statement in statements:
        session.execute(statement)
    try:
        yield session
    finally:
        session.rollback()
