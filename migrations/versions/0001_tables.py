"""tables: what the job remembers

Revision ID: 0001
Revises:
"""

from alembic import op

from migrations.options import read_options
from migrations.sql_files import application_path, run

revision = "0001"
down_revision = None


def upgrade() -> None:
    if read_options().schedules_here:
        run("deploy/pg_cron")  # already here, so that without pg_cron nothing is left half installed
    with application_path():
        run("versions/0001_tables")


def downgrade() -> None:
    with op.get_context().autocommit_block(), application_path():  # what a failed attempt at 0002 has left
        op.execute("drop index concurrently if exists public.class_activation_due_idx")
    with application_path():
        op.execute("drop table class_activation.held_back")
        op.execute("drop table class_activation.problems")
        op.execute("drop table class_activation.activations")
        op.execute("drop table class_activation.runs")
