"""The job's place in pg_cron, in the platform's database or, with -x cron_url, in another one."""

import logging
import re

import psycopg
from alembic import context
from alembic.util import CommandError
from psycopg.rows import dict_row

from migrations.connections import cron
from migrations.options import OFF, read_options
from migrations.sql_files import driver_connection, execute, run

JOB_FUNCTIONS = ("class_activation.activate_scheduled_classes", "class_activation.housekeeping")

UNSCHEDULE = """
select cron.unschedule(jobid)
from cron.job
where jobname ~ '^(activate_scheduled_classes|class_activation_housekeeping)(@|$)' and database = %s
"""

SCHEDULE = """
select pg_temp.schedule_job(%(jobname)s, %(schedule)s, %(command)s, %(database)s, %(username)s)
"""

REMEMBER = """
update class_activation.settings
set schedule = coalesce(%(schedule)s, schedule), cron_database = %(cron_database)s, active = true
"""

# the same instance, not one of the same name or a copy of it
SERVER = "select system_identifier, pg_postmaster_start_time() from pg_control_system()"

WHO_AND_WHERE = """
select quote_ident(rolname), rolsuper, current_database() from pg_roles where rolname = current_user
"""

EXTENSION = """
select e.extversion, has_schema_privilege(n.oid, 'usage')
from pg_extension e
join pg_namespace n on n.nspname = 'cron'
where e.extname = 'pg_cron'
"""

log = logging.getLogger("alembic.class_activation")


def set_up() -> list[str]:
    """Schedule the job as the options say; without any, only if that was never decided; and say so."""
    options = read_options()
    if options.schedule == OFF:
        execute("update class_activation.settings set active = false where active is null;")
        return []
    if options.cron_url is not None:
        schedule_elsewhere(options.schedule)
        return ["job scheduled"]
    if options.schedule is not None:
        literal = options.schedule.replace("'", "''")
        execute(f"select class_activation.schedule('{literal}');")
        return ["job scheduled"]
    rows = execute(
        "select class_activation.schedule() from class_activation.settings"
        " where active is null and cron_database is null;"
    )
    return ["job scheduled"] if rows else []


def preflight(platform: psycopg.Connection) -> None:
    """Refuse a cron_url or a schedule that cannot work, before anything is done."""
    options = read_options()
    if there := cron():
        require_pg_cron(platform, there)
        require_schedule(there, options.schedule)
    else:
        require_schedule(platform, options.schedule)


def require_schedule(cron: psycopg.Connection, schedule: str | None) -> None:
    """Let pg_cron read the SCHEDULE, and forget it again."""
    if schedule in (None, OFF):
        return
    try:
        with cron.transaction(force_rollback=True):
            cron.execute("create extension if not exists pg_cron")
            cron.execute("select cron.schedule('class_activation', %s, 'select 1')", [schedule])
    except psycopg.Error as error:
        # whatever else is missing has an error of its own later
        if "invalid schedule" in str(error):
            raise CommandError(
                f"pg_cron does not understand the schedule {schedule!r}\nHINT: Nothing was done. Pass a cron "
                "expression in GMT, such as -x 'schedule=*/15 * * * *', or leave it out."
            ) from error


def require_pg_cron(platform: psycopg.Connection, cron: psycopg.Connection) -> None:
    """Refuse a database from which the job cannot be scheduled."""
    role, _, name = cron.execute(WHO_AND_WHERE).fetchone()
    if cron.execute(SERVER).fetchone() != platform.execute(SERVER).fetchone():
        raise CommandError(
            f"cron_url leads to database {name} of another server than the platform's: pass the database "
            "on the platform's server that has pg_cron"
        )
    version, usage = cron.execute(EXTENSION).fetchone() or (None, None)
    if version is None:
        raise CommandError(
            f"cron_url leads to database {name}, which has no extension pg_cron: pass the database that "
            "cron.database_name names, and let a superuser run there create extension pg_cron;"
        )
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < (1, 4):
        raise CommandError(f"pg_cron in database {name} is {version}, and 1.4 is needed: update it")
    if not usage:
        raise CommandError(
            f"role {role} may not use schema cron in database {name}: let a superuser run there "
            f"grant usage on schema cron to {role};"
        )


def remove() -> None:
    """Remove the job before its function goes; a downgrade that is repeated finds no settings any more."""
    if there := cron():
        platform = driver_connection()
        (database, installed) = platform.execute(
            "select current_database(), current_setting('class_activation.revision') <> ''"
        ).fetchone()
        removed = there.execute(UNSCHEDULE, [database]).rowcount
        role, superuser, cron_database = there.execute(WHO_AND_WHERE).fetchone()
        if not installed:
            return
        (active,) = platform.execute("select active from class_activation.settings").fetchone()
        if active and not removed and not superuser:
            raise CommandError(
                f"the pg_cron job is not visible to role {role} in database {cron_database}\nHINT: Repeat as "
                "the role of the job or as a superuser. Where there is none any more, let the owner set "
                "class_activation.settings.active to false."
            )
        platform.execute("update class_activation.settings set cron_database = null, active = false")
    run("deploy/unschedule")


def schedule_elsewhere(schedule: str | None) -> None:
    """Make the jobs from pg_cron's database, with the platform's own function for it."""
    if context.is_offline_mode():
        raise CommandError(
            "a script cannot run in two databases: pass -x schedule=off, and schedule the job in "
            "pg_cron's database by the statements that class_activation.schedule() then names"
        )
    platform, there = driver_connection(), cron()
    role, is_superuser, cron_database = there.execute(WHO_AND_WHERE).fetchone()
    platform.execute(REMEMBER, {"schedule": schedule, "cron_database": cron_database})
    if not is_superuser:  # the job is this role's
        platform.execute(f"grant execute on function {', '.join(JOB_FUNCTIONS)} to {role}")
    (definition,) = platform.execute(
        "select pg_get_functiondef('class_activation.schedule_job'::regproc)"
    ).fetchone()
    there.execute(definition.replace("class_activation.", "pg_temp.", 1))
    for job in jobs(platform):
        there.execute(SCHEDULE, job)


def jobs(platform: psycopg.Connection) -> list[dict[str, str]]:
    """Return the jobs as the settings say."""
    with platform.cursor(row_factory=dict_row) as cursor:
        return cursor.execute("select * from class_activation.jobs()").fetchall()
