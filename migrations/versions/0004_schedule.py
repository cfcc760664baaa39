"""schedule: pg_cron calls the job every 15 minutes

Revision ID: 0004
Revises: 0003
"""

from alembic import context, op
from alembic.util import CommandError
from sqlalchemy import text

from migrations import cron_database
from migrations.options import Options, read_options
from migrations.sql_files import run

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    options = read_options()
    if options.schedules_here:
        op.execute(text("select class_activation.schedule(:schedule)").bindparams(schedule=options.schedule))
    elif options.schedules_elsewhere:
        cron_database.schedule(options.cron_url, job(options))


def downgrade() -> None:
    options = read_options()
    if options.schedules_here:
        run("unschedule_here_v1")
    elif options.schedules_elsewhere:
        cron_database.unschedule(options.cron_url, job(options))


def job(options: Options) -> dict[str, str]:
    if context.is_offline_mode():
        raise CommandError(
            "a script cannot run in two databases: pass -x schedule=off, and schedule the job in "
            "pg_cron's database by the statement that class_activation.schedule() then names"
        )
    row = op.get_bind().execute(
        text("select * from class_activation.job(:schedule)").bindparams(schedule=options.schedule)
    )
    return dict(row.mappings().one())
