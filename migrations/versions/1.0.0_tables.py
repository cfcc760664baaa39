"""tables

Revision ID: 1.0.0
Revises:
"""

from migrations import schedule
from migrations.options import OFF, read_options
from migrations.sql_files import run

revision = "1.0.0"
down_revision = None


def upgrade() -> None:
    options = read_options()
    if options.schedule != OFF and options.cron_url is None:
        run("deploy/pg_cron")
    run("versions/1.0.0_tables")


def downgrade() -> None:
    # the rest is in deploy/remove.sql, which runs once Alembic has deleted the revision
    schedule.remove()
