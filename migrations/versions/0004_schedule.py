"""schedule, which since 0.2.0 is a setting: the end of release 0.1.0

Revision ID: 0004
Revises: 0003
"""

from migrations.sql_files import run

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    pass


def downgrade() -> None:
    run("versions/0004_schedule")
