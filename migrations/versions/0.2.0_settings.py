"""settings, holds, and what the job wrote, row by row: release 0.2.0

Revision ID: 0.2.0
Revises: 0004
"""

from alembic import op

from migrations import schedule
from migrations.sql_files import application_path, run

revision = "0.2.0"
down_revision = "0004"


def upgrade() -> None:
    with application_path():
        run("versions/0.2.0_settings")
    run("versions/0.2.0_from_0.1.0")


def downgrade() -> None:
    # in the order in which calls reach them, so that none of these meets a deadlock
    op.execute("lock table class_activation.settings, class_activation.runs in access exclusive mode")
    schedule.remove()
    run("deploy/remove_functions")
    with application_path():
        op.execute("alter table class_activation.holds drop column start_dt, drop column status")
        op.execute("alter index class_activation.holds_pkey rename to held_back_pkey")
        op.execute("alter table class_activation.holds rename to held_back")
        op.execute(
            "alter table class_activation.activations"
            " drop column enrollment_ids, drop column enrolled_at, drop column updated_at,"
            " drop column update_user_id"
        )
        op.execute("alter table class_activation.runs drop column classes_left")
        op.execute("drop table class_activation.late_enrollments")
        op.execute("drop table class_activation.installed_objects")
        op.execute("drop table class_activation.ticks")
        op.execute("drop table class_activation.settings")
