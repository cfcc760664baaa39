"""schema and tables: what the job remembers

Revision ID: 0001
Revises:
"""

from alembic import op

from migrations.options import read_options
from migrations.sql_files import run

revision = "0001"
down_revision = None


def upgrade() -> None:
    run("platform_gaps_v1", "require_platform_v1")
    if read_options().schedules_here:
        run("pg_cron_v1")  # already here, so that without pg_cron nothing is left half installed
    run("runs_v1", "activations_v1", "problems_v1", "held_back_v1", "set_owner_v1")
    op.execute("comment on table class_activation.alembic_version is 'The revision that is installed.'")


def downgrade() -> None:
    with op.get_context().autocommit_block():  # what a failed attempt at 0002 has left
        op.execute("drop index concurrently if exists public.class_activation_due_idx")
    op.execute("drop table class_activation.held_back")
    op.execute("drop table class_activation.problems")
    op.execute("drop table class_activation.activations")
    op.execute("drop table class_activation.runs")
    op.execute("drop function class_activation.platform_gaps()")
