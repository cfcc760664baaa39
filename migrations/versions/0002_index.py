"""index: due classes are found without reading all others

Alone in its revision, because "concurrently" cannot run in a transaction. A build that failed
leaves an invalid index behind, so each attempt begins by dropping it.

Revision ID: 0002
Revises: 0001
"""

from alembic import op

from migrations.sql_files import run

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    downgrade()
    with op.get_context().autocommit_block():
        run("class_activation_due_idx_v1")
    run("class_activation_due_idx_comment_v1")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("drop index concurrently if exists public.class_activation_due_idx")
