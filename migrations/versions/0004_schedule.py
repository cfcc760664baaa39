"""schedule: pg_cron calls the job every 15 minutes

Revision ID: 0004
Revises: 0003
"""

from alembic import context, op
from alembic.util import CommandError
from sqlalchemy import func, select, text

from migrations import cron_database
from migrations.options import Options, read_options
from migrations.sql_files import run

revision = "0004"
down_revision = "0003"

# On the schema's comment, so that a downgrade does not forget a job that this database cannot see.
ELSEWHERE = " Its pg_cron job is in another database, from which alembic removes it with -x cron_url."


def upgrade() -> None:
    options = read_options()
    if options.schedules_here:
        op.execute(select(func.class_activation.schedule(options.schedule)))
    elif options.schedules_elsewhere:
        cron_database.schedule(options.cron_url, job(options), op.get_bind())
        comment_schema("obj_description(oid, 'pg_namespace') || :elsewhere")


def downgrade() -> None:
    options = read_options()
    if options.schedules_here:
        run("unschedule_here_v1")
    elif options.schedules_elsewhere:
        cron_database.unschedule(options.cron_url, job(options))
        comment_schema("replace(obj_description(oid, 'pg_namespace'), :elsewhere, '')")


def job(options: Options) -> dict[str, str]:
    if context.is_offline_mode():
        raise CommandError(
            "a script cannot run in two databases: pass -x schedule=off, and schedule the job in "
            "pg_cron's database by the statement that class_activation.schedule() then names"
        )
    query = text("select * from class_activation.job(:schedule)").bindparams(schedule=options.schedule)
    return dict(op.get_bind().execute(query).mappings().one())


def comment_schema(expression: str) -> None:
    comment = op.get_bind().scalar(
        text(
            f"select format('comment on schema class_activation is %L', {expression})"  # noqa: S608
            " from pg_namespace where nspname = 'class_activation'"
        ).bindparams(elsewhere=ELSEWHERE)
    )
    op.execute(comment)
