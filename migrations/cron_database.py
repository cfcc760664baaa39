"""The job, where pg_cron lives in another database than the platform."""

from collections.abc import Mapping

import psycopg
from alembic.util import CommandError
from sqlalchemy import Connection, text

from migrations.connections import connect

OTHER_DATABASES_JOB = """
select database, jobid from cron.job
where jobname = %(jobname)s and username = coalesce(%(username)s, current_user) and database <> %(database)s
"""

UNSCHEDULE = """
select cron.unschedule(jobid) from cron.job where jobname = %(jobname)s and database = %(database)s
"""

SCHEDULE = """
select cron.schedule_in_database(%(jobname)s, %(schedule)s, %(command)s, %(database)s, %(username)s, true)
"""

# roles are the same in all databases of the server
MAY_RUN = text(
    "select has_function_privilege(:role,"
    " 'public.activate_scheduled_classes(timestamptz, time, integer)', 'execute')"
)


def schedule(cron_url: str, job: Mapping[str, str], platform: Connection) -> None:
    """Make JOB, a row of class_activation.job, the one job of its database, PLATFORM's."""
    with connect(cron_url) as cron:
        role, is_superuser = cron.execute(
            "select rolname, rolsuper from pg_roles where rolname = current_user"
        ).fetchone()
        if not is_superuser:  # pg_cron lets nobody else name the role of a job
            job = {**job, "username": None}
            if not platform.scalar(MAY_RUN, {"role": role}):
                raise CommandError(
                    f"role {role} may not run the job: let the owner of the platform's tables run "
                    f"in database {job['database']} "
                    f"grant execute on function public.activate_scheduled_classes to {role};"
                )
        if other := cron.execute(OTHER_DATABASES_JOB, job).fetchone():
            raise CommandError(
                f"pg_cron already has a job {job['jobname']} of the same role for database {other[0]}, "
                "which this one would overwrite: connect with another role in -x cron_url, or, if that "
                f"database was renamed or restored as this one, run there select cron.unschedule({other[1]});"
            )
        cron.execute(UNSCHEDULE, job)
        try:
            cron.execute(SCHEDULE, job)
        except psycopg.errors.InsufficientPrivilege as error:
            raise CommandError(
                f"{error.diag.message_primary} in pg_cron's database: let a superuser run there "
                f"grant execute on function cron.schedule_in_database to {role};"
            ) from error


def unschedule(cron_url: str, job: Mapping[str, str]) -> None:
    """Remove JOB."""
    with connect(cron_url) as cron:
        cron.execute(UNSCHEDULE, job)
