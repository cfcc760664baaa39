"""index: due classes are found without reading all others

Revision ID: 0002
Revises: 0001
"""

from alembic import op

from migrations import index
from migrations.sql_files import application_path

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        index.build()


def downgrade() -> None:
    with op.get_context().autocommit_block(), application_path():
        op.execute("drop index concurrently if exists public.class_activation_due_idx")
