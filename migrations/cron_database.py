"""The job, where pg_cron lives in another database than the platform."""

from collections.abc import Mapping

import psycopg
from alembic.util import CommandError

from migrations.connections import connect

OTHER_DATABASES_JOB = """
select database from cron.job
where jobname = %(jobname)s and username = coalesce(%(username)s, current_user) and database <> %(database)s
"""

UNSCHEDULE = """
select cron.unschedule(jobid) from cron.job where jobname = %(jobname)s and database = %(database)s
"""

SCHEDULE = """
select cron.schedule_in_database(%(jobname)s, %(schedule)s, %(command)s, %(database)s, %(username)s, true)
"""


def schedule(cron_url: str, job: Mapping[str, str]) -> None:
    """Make JOB, a row of class_activation.job, the one job of its database."""
    with connect(cron_url) as cron:
        if not is_superuser(cron):  # pg_cron lets nobody else name the role of a job
            job = {**job, "username": None}
        if other := cron.execute(OTHER_DATABASES_JOB, job).fetchone():
            raise CommandError(
                f"pg_cron already has a job {job['jobname']} of the same role for database {other[0]}, "
                "which this one would overwrite: connect with another role in -x cron_url"
            )
        cron.execute(UNSCHEDULE, job)
        try:
            cron.execute(SCHEDULE, job)
        except psycopg.errors.InsufficientPrivilege as error:
            raise CommandError(
                f"{error.diag.message_primary} in pg_cron's database: let a superuser run there "
                f"grant execute on function cron.schedule_in_database to {cron.info.user};"
            ) from error


def unschedule(cron_url: str, job: Mapping[str, str]) -> None:
    """Remove JOB."""
    with connect(cron_url) as cron:
        cron.execute(UNSCHEDULE, job)


def is_superuser(connection: psycopg.Connection) -> bool:
    """Whether the role of CONNECTION is a superuser."""
    return connection.execute("select rolsuper from pg_roles where rolname = current_user").fetchone()[0]
