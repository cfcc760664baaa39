"""functions: the rule, the job, and its place in pg_cron

Revision ID: 0003
Revises: 0002
"""

from alembic import op

from migrations.sql_files import run

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run(
        "rule_v1",
        "is_held_back_v1",
        "scheduled_classes_v1",
        "recently_activated_v1",
        "waiting_enrollments_v1",
        "batch_user_v1",
        "activate_batch_v1",
        "record_problem_v1",
        "may_use_pg_cron_v1",
        "prune_v1",
        "activate_scheduled_classes_v1",
        "preview_v1",
        "health_v1",
        "revert_v1",
        "doctor_platform_v1",
        "doctor_installation_v1",
        "doctor_pg_cron_v1",
        "doctor_v1",
        "job_v1",
        "schedule_v1",
        "unschedule_v1",
        "set_owner_v1",
    )


def downgrade() -> None:
    op.execute("drop function class_activation.unschedule()")
    op.execute("drop function class_activation.schedule(text, time)")
    op.execute("drop function class_activation.job(text, time)")
    op.execute("drop function class_activation.doctor()")
    op.execute("drop function class_activation.doctor_pg_cron()")
    op.execute("drop function class_activation.doctor_installation()")
    op.execute("drop function class_activation.doctor_platform()")
    op.execute("drop function class_activation.revert(bigint, integer[])")
    op.execute("drop function class_activation.health(time, interval)")
    op.execute("drop function class_activation.preview(timestamptz, time)")
    op.execute("drop function public.activate_scheduled_classes(timestamptz, time, integer)")
    op.execute("drop function class_activation.prune()")
    op.execute("drop function class_activation.may_use_pg_cron()")
    op.execute("drop function class_activation.record_problem(integer, text, text)")
    op.execute("drop function class_activation.activate_batch(bigint, integer[], timestamptz, time, integer)")
    op.execute("drop function class_activation.batch_user()")
    op.execute("drop function class_activation.waiting_enrollments(integer[])")
    op.execute("drop function class_activation.recently_activated(integer[])")
    op.execute("drop function class_activation.scheduled_classes(timestamptz, time, integer[], date)")
    op.execute("drop function class_activation.is_held_back(integer)")
    op.execute("drop function class_activation.rule(date, text, timestamptz, time)")
