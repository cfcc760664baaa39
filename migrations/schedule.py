"""The job in pg_cron, in the platform's database or, with -x cron_url, in another one."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from alembic import context
from alembic.util import CommandError
from psycopg.rows import namedtuple_row

from migrations.connections import connect
from migrations.options import OFF, read_options
from migrations.sql_files import driver_connection, execute, run

WHO = """
select current_user as role, current_setting('is_superuser')::boolean as superuser, current_database() as database,
  (select e.extversion from pg_extension e where e.extname = 'pg_cron') as version,
  (select has_schema_privilege(n.oid, 'usage') from pg_namespace n where n.nspname = 'cron') as usage
"""

# these need usage on schema cron
RIGHTS = """
select to_regprocedure('cron.schedule_in_database(text, text, text, text, text, boolean)') is not null as exists,
  has_function_privilege(to_regprocedure('cron.schedule_in_database(text, text, text, text, text, boolean)'),
    'execute') as schedule,
  row_security_active('cron.job') as sees_only_own
"""

REMEMBER = """
update class_activation.settings s
set schedule = coalesce(%(schedule)s, s.schedule), cron_database = %(cron_database)s, job_database = current_database(),
  job_username = coalesce(%(username)s, s.job_username), scheduled_at = now()
where (s.schedule, s.cron_database, s.job_database, s.job_username)
  is distinct from (coalesce(%(schedule)s, s.schedule), %(cron_database)s::name, current_database(),
    coalesce(%(username)s, s.job_username))
"""

FORGET = """
update class_activation.settings
set cron_database = null, job_database = null, job_username = null, scheduled_at = now()
"""

# upgrades leave pg_cron alone if it has the job already
SCHEDULED = """
select from cron.job
where jobname = %s and schedule = %s and database = %s and username = %s and active
  and command = 'select class_activation.tick()'
"""

JOB = """
select j.*, current_database() as database, (select s.schedule from class_activation.settings s)
from class_activation.job() j
"""

MAY_TICK = "select has_function_privilege(%s::name, 'class_activation.tick()', 'execute')"

NEXT_TICK = "select class_activation.next_tick()"

# the same instance, not one of the same name or a copy of it
SERVER = "select system_identifier, pg_postmaster_start_time() from pg_control_system()"

log = logging.getLogger("alembic.class_activation")

_elsewhere: psycopg.Connection | None = None


def set_up() -> None:
    """Schedule the job as the options say; without any, only if that was never decided."""
    options = read_options()
    if options.schedule == OFF:
        execute("update class_activation.settings set scheduled_at = now() where scheduled_at is null;")
    elif options.cron_url is not None:
        schedule_elsewhere(options.cron_url, options.schedule)
    else:
        with notices_logged():
            if options.schedule is not None:
                literal = options.schedule.replace("'", "''")
                execute(f"select class_activation.schedule('{literal}');")
            else:
                execute(
                    "select class_activation.schedule() from class_activation.settings"
                    " where scheduled_at is null;"
                )


def preflight(platform: psycopg.Connection) -> None:
    """Refuse a cron_url or a schedule that cannot work, before anything is done."""
    if missing := find_missing(platform):
        raise CommandError(
            f"the job cannot be scheduled without: {', '.join(missing)}\nHINT: Nothing was done. "
            + "Let a superuser, or the administrator of the service, run what is named, then repeat."
        )


def find_missing(platform: psycopg.Connection) -> list[str]:
    """Return everything that scheduling needs and does not find, in the words of the error that lists it."""
    options = read_options()
    if options.cron_url is None:
        require_schedule(platform, options.schedule)
        return []
    with connect(options.cron_url) as cron:
        missing = missing_elsewhere(platform, cron)
        if not missing:
            require_schedule(cron, options.schedule)
    return missing


def require_schedule(cron: psycopg.Connection, schedule: str | None) -> None:
    """Let pg_cron read the SCHEDULE, and forget it again."""
    if schedule in (None, OFF):
        return
    try:
        with cron.transaction(force_rollback=True):
            cron.execute("create extension if not exists pg_cron")
            cron.execute("select cron.schedule('class_activation', %s, 'select 1')", [schedule])
    except psycopg.Error as error:
        # anything else that is missing has an error of its own later
        if "invalid schedule" in str(error):
            raise CommandError(
                f"pg_cron rejects the schedule {schedule!r}\nHINT: Nothing was done. Pass a cron "
                "expression in GMT, such as -x 'schedule=*/15 * * * *', or omit it."
            ) from error


def missing_elsewhere(platform: psycopg.Connection, cron: psycopg.Connection) -> list[str]:
    """Return what the role of cron_url lacks; refuse a database that is not pg_cron's, or a job out of sight."""
    who = fetch(cron, WHO)
    if cron.execute(SERVER).fetchone() != platform.execute(SERVER).fetchone():
        raise CommandError(
            f"cron_url leads to database {who.database} of another server than the platform's: pass the "
            "database on the platform's server that has pg_cron"
        )
    if who.version is None:
        return [
            f"extension pg_cron in database {who.database} (create extension pg_cron; there, or pass the database "
            f"that cron.database_name names)",
            f"usage on its schema (then: grant usage on schema cron to {who.role};)",
        ]
    missing = []
    if tuple(map(int, re.findall(r"\d+", who.version)[:2])) < (1, 4):
        missing.append(
            f"pg_cron 1.4 in database {who.database} (it is {who.version}; alter extension pg_cron update;)"
        )
    rights = None
    if who.usage:
        rights = fetch(cron, RIGHTS)
    else:
        missing.append(
            f"usage on schema cron in database {who.database} (grant usage on schema cron to {who.role};)"
        )
    if rights and not rights.exists:
        missing.append(
            f"function cron.schedule_in_database in database {who.database}, without which pg_cron calls no other "
            "database (as on Neon: have the service put pg_cron into the platform's database)"
        )
    elif not (rights and rights.schedule):
        missing.append(
            f"the right to call another database (in {who.database}: grant execute on function "
            f"cron.schedule_in_database to {who.role};)"
        )
    (database, connects) = platform.execute(
        "select current_database(), has_database_privilege(%s::name, current_database(), 'connect')",
        [who.role],
    ).fetchone()
    if not connects:
        missing.append(f"the right to connect (grant connect on database {database} to {who.role};)")
    if rights and rights.exists:
        require_own_job(platform, cron)
    return missing


def require_own_job(platform: psycopg.Connection, cron: psycopg.Connection) -> None:
    """Refuse to schedule on top of a job that the role of cron_url cannot see or change."""
    (installed,) = platform.execute(
        "select to_regprocedure('class_activation.job(text)') is not null"
    ).fetchone()
    if not installed:
        return
    who, job = fetch(cron, WHO), fetch(platform, JOB)
    if who.superuser or job.created_by in (None, who.role) or is_scheduled(cron, job):
        return
    if job.role_is_gone:
        raise CommandError(
            f"the pg_cron job was created as role {job.created_by}, which was renamed or dropped\nHINT: Nothing was "
            f"scheduled: pg_cron's launcher crashes if it meets that job, and every job stops. Let a superuser run in "
            f"database {who.database}: {job.remove} Then repeat. Or, if the role was renamed, rename it back: "
            f"alter role {who.role} rename to {job.created_by};"
        )
    raise CommandError(
        f"the pg_cron job of role {job.created_by} is not visible to role {who.role}\nHINT: Nothing was scheduled. Repeat "
        f"with role {job.created_by} or a superuser in cron_url."
    )


def is_scheduled(cron: psycopg.Connection, job: Any) -> bool:
    """Tell whether pg_cron has the job as it should be."""
    return fetch(cron, SCHEDULED, job.jobname, job.schedule, job.database, job.username) is not None


def remove() -> None:
    """Remove the job before its function goes; refuse where it would be left behind."""
    if cron_url := read_options().cron_url:
        platform = driver_connection()
        cron = open_elsewhere(cron_url)
        who, job = fetch(cron, WHO), fetch(platform, JOB)
        if job.elsewhere and who.database != job.cron_database:
            raise CommandError(
                f"cron_url leads to database {who.database}, and the pg_cron job is in database {job.cron_database}"
            )
        if job.created_by not in (None, who.role) and fetch(cron, RIGHTS).sees_only_own:
            raise CommandError(
                f"the pg_cron job of role {job.created_by} is not visible to role {who.role} in database {who.database}\n"
                f"HINT: Nothing was removed. Repeat with role {job.created_by} or a superuser in cron_url."
            )
        cron.execute(job.remove)
        platform.execute(FORGET)
    run("deploy/unschedule")


def schedule_elsewhere(cron_url: str, schedule: str | None) -> None:
    """Create or repair the job in pg_cron's database; commit_elsewhere() makes it last."""
    if context.is_offline_mode():
        raise CommandError(
            "a script cannot run in two databases: pass -x schedule=off, and schedule the job in "
            "pg_cron's database by the statements that class_activation.schedule() then names"
        )
    platform = driver_connection()
    cron = open_elsewhere(cron_url)
    require_own_job(platform, cron)
    who, before = fetch(cron, WHO), fetch(platform, JOB)
    if before.created_by is not None and not before.elsewhere:
        platform.execute("select class_activation.unschedule()")
    username = None if who.superuser or before.created_by else who.role
    platform.execute(REMEMBER, {"schedule": schedule, "cron_database": who.database, "username": username})
    job = fetch(platform, JOB)
    if job.username != job.created_by:
        platform.execute("update class_activation.settings set job_username = %s", [job.username])
    if not fetch(platform, MAY_TICK, job.username)[0]:
        platform.execute(f'grant execute on function class_activation.tick() to "{job.username}"')
    if before.jobname == job.jobname and is_scheduled(cron, job):
        return
    if before.elsewhere:
        cron.execute(before.clear)
    cron.execute(job.clear)
    cron.execute(job.put)
    log.info("Scheduled job %s in database %s: %s", job.jobname, who.database, fetch(platform, NEXT_TICK)[0])


def open_elsewhere(cron_url: str) -> psycopg.Connection:
    """Open the transaction in pg_cron's database, which commits last."""
    global _elsewhere
    _elsewhere = connect(cron_url)
    return _elsewhere


def commit_elsewhere() -> None:
    """Commit what was done in pg_cron's database, after the platform's transaction."""
    if _elsewhere is not None:
        try:
            _elsewhere.commit()
        except psycopg.Error as error:
            raise CommandError(
                f"the platform's database is done, but the job in pg_cron's database is not: {error}\n"
                "HINT: Run the same command again."
            ) from error
    discard_elsewhere()


def discard_elsewhere() -> None:
    """Undo what is not committed in pg_cron's database."""
    global _elsewhere
    if _elsewhere is not None:
        _elsewhere.close()
    _elsewhere = None


@contextmanager
def notices_logged() -> Iterator[None]:
    """Log what class_activation.schedule() reports."""
    if context.is_offline_mode():
        yield
        return
    connection = driver_connection()

    def handler(diagnostic: psycopg.errors.Diagnostic) -> None:
        log.info("Scheduled the job: %s", diagnostic.message_primary)

    connection.add_notice_handler(handler)
    try:
        yield
    finally:
        connection.remove_notice_handler(handler)


def fetch(connection: psycopg.Connection, sql: str, *params: Any) -> Any:
    """Return the only row of a query, with names."""
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        return cursor.execute(sql, params or None).fetchone()
