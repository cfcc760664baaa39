"""health(): one row for monitoring."""

from datetime import UTC, datetime, timedelta

import pytest
from harness import Database, deploy, open_transaction, own_platform, posix_zone


def test_health_is_ok_after_a_run(db: Database) -> None:
    db.enrollment(db.class_())
    facility = db.facility("America/Chicago")
    soon = db.value("select (now() at time zone 'America/Chicago')::date + 10")
    db.class_(facility, soon + timedelta(days=1))
    db.class_(facility, soon)
    db.run()

    row = db.health()

    assert (row.status, row.overdue_classes, row.oldest_overdue_seconds) == ("ok", 0, 0)
    assert row.last_run_at == db.last_run().started_at
    assert 0 <= row.seconds_since_last_run < 60
    assert (row.problem_classes, row.unknown_timezones) == (0, 0)
    assert row.next_due_at == db.value("select (%s + time '05:00') at time zone 'America/Chicago'", soon)
    assert (row.classes_activated_24h, row.enrollments_backfilled_24h) == (1, 1)
    assert row.job_active is None

    # a reverted class does not count, and neither does the revert
    db.revert(db.last_run().id)
    assert (db.health().classes_activated_24h, db.health().last_run_at) == (0, row.last_run_at)
    db.class_()
    db.run()
    assert db.health().classes_activated_24h == 1
    for table, column in (("activations", "activated_at"), ("runs", "started_at")):
        db.execute(f"update class_activation.{table} set {column} = {column} - interval '25 hours'")
    assert (db.health().classes_activated_24h, db.health().enrollments_backfilled_24h) == (0, 0)


def test_health_is_critical_only_when_a_class_is_overdue_past_the_grace(db: Database) -> None:
    db.run()
    now = datetime.now(UTC)
    for hour in (7, 6.5):
        it_is = posix_zone(timedelta(hours=hour) - timedelta(hours=now.hour, minutes=now.minute))
        db.class_(db.facility(it_is), now.date())

    assert db.health("05:00", "3 hours").status == "ok"
    row = db.health()
    assert (row.status, row.overdue_classes) == ("critical", 2)
    assert 7200 <= row.oldest_overdue_seconds < 7300


def test_health_warns_of_problems_unknown_zones_and_a_silent_job(db: Database) -> None:
    assert db.health().status == "warning"
    db.run()
    assert db.health().status == "ok"

    db.execute("update class_activation.runs set started_at = started_at - interval '61 minutes'")
    row = db.health()
    assert (row.status, row.seconds_since_last_run // 60) == ("warning", 61)
    db.execute("insert into class_activation.ticks values (now()), (now() - interval '2 hours')")
    assert db.health().status == "ok"

    for _ in range(2):
        db.facility("Mars/Phobos")
    assert (db.health().status, db.health().unknown_timezones) == ("warning", 1)
    db.class_(db.facility("Mars/Deimos"))
    db.run()
    assert (db.health().problem_classes, db.health().unknown_timezones) == (1, 2)


def test_the_next_due_class_is_one_that_will_be_activated(db: Database) -> None:
    year = datetime.now(UTC).year + 1
    db.class_(db.facility("Mars/Phobos"), f"{year}-01-10")
    db.class_(db.facility(deleted_at="2026-01-01"), f"{year}-02-10")
    db.class_(start_dt=f"{year}-06-10")

    assert db.health("05:00").next_due_at == datetime(year, 6, 10, 10, tzinfo=UTC)
    assert db.health().problem_classes == 0


def test_health_shows_whether_the_job_is_active(scheduled: Database) -> None:
    assert scheduled.health().job_active
    scheduled.execute("select cron.alter_job(jobid, active => false) from cron.job")
    assert (scheduled.health().status, scheduled.health().job_active) == ("warning", False)


@pytest.mark.parametrize("mode", ["access exclusive", "row exclusive"])
def test_health_does_not_wait_for_a_lock_on_cron_job(scheduled: Database, mode: str) -> None:
    watcher = scheduled.connect()
    watcher.execute("set statement_timeout = '5s'")

    with open_transaction(scheduled, f"lock table cron.job in {mode} mode"):
        (row,) = watcher.execute("select * from class_activation.health()").fetchall()

    assert (row.status, row.job_active) == ("ok", None if mode == "access exclusive" else True)
    assert watcher.execute("show lock_timeout").fetchone() == ("0",)
    assert scheduled.health().job_active is True


@pytest.mark.parametrize("revoked", ["select on cron.job", "usage on schema cron"])
def test_health_works_if_its_owner_may_not_read_cron_job(cron: Database, role: str, revoked: str) -> None:
    own_platform(cron, role)
    cron.execute(f"grant usage on schema cron to {role}")
    deploy("upgrade", "head", database=cron.name)
    owner = cron.connect(user=role, password="secret")
    owner.execute("select class_activation.activate_scheduled_classes()")
    question = "select status, job_active from class_activation.health()"
    assert owner.execute(question).fetchall() == [("ok", True)]

    cron.execute(f"revoke {revoked} from public, {role}")
    try:
        # the caller's rights make no difference
        for session in (owner, cron.connection):
            assert session.execute(question).fetchall() == [("ok", None)]
    finally:
        cron.execute("grant select on cron.job to public")
