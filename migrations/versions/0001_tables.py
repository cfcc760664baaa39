"""schema and tables: what the job remembers

Revision ID: 0001
Revises:
"""

from alembic import op

from migrations.sql_files import run

revision = "0001"
down_revision = None


def upgrade() -> None:
    run("runs_v1", "activations_v1", "problems_v1", "set_owner_v1")


def downgrade() -> None:
    op.execute("drop table class_activation.problems")
    op.execute("drop table class_activation.activations")
    op.execute("drop table class_activation.runs")
