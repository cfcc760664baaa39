"""health(): one row for monitoring."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from harness import Database, deploy, own_platform, posix_zone

AS_OF = "2026-03-02 12:00Z"


@pytest.fixture
def scheduled(cron: Database) -> Database:
    """A database in which all is well, with the job in pg_cron."""
    deploy("upgrade", "head", database=cron.name)
    cron.run()
    assert cron.health().status == "ok"
    return cron


@contextmanager
def open_transaction(db: Database, statement: str) -> Iterator[None]:
    """Another session that has run the statement and not committed; it rolls back at the end."""
    session = db.connect(autocommit=False)
    session.execute(statement)
    try:
        yield
    finally:
        session.close()


def test_health_is_ok_after_a_run(db: Database) -> None:
    activated = db.class_()
    db.enrollment(activated)
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


def test_health_is_critical_when_classes_are_overdue_and_only_past_the_grace(db: Database) -> None:
    db.run()
    now = datetime.now(UTC)
    it_is_seven = posix_zone(timedelta(hours=7) - timedelta(hours=now.hour, minutes=now.minute))
    db.class_(db.facility(it_is_seven), now.date())

    assert db.health("05:00", "3 hours").status == "ok"
    row = db.health()
    assert (row.status, row.overdue_classes) == ("critical", 1)
    assert 7200 <= row.oldest_overdue_seconds < 7300


def test_health_warns_of_problems_unknown_zones_and_a_silent_job(db: Database) -> None:
    assert db.health().status == "warning"
    db.run()
    assert db.health().status == "ok"

    db.execute("update class_activation.runs set started_at = started_at - interval '61 minutes'")
    row = db.health()
    assert (row.status, row.seconds_since_last_run // 60) == ("warning", 61)
    db.run()

    for _ in range(2):
        db.facility("Mars/Phobos")
    assert (db.health().status, db.health().unknown_timezones) == ("warning", 1)
    db.class_(db.facility("Mars/Deimos"))
    db.run()
    assert (db.health().problem_classes, db.health().unknown_timezones) == (1, 2)


def test_health_does_not_count_a_reverted_class(db: Database) -> None:
    db.class_()
    db.run()
    job = db.last_run()
    db.revert(job.id)

    assert db.health().classes_activated_24h == 0
    assert db.health().last_run_at == job.started_at


def test_health_sees_whether_the_job_is_active(cron: Database) -> None:
    deploy("upgrade", "head", database=cron.name)
    cron.run()
    assert (cron.health().status, cron.health().job_active) == ("ok", True)

    cron.execute("select cron.alter_job(jobid, active => false) from cron.job")
    assert (cron.health().status, cron.health().job_active) == ("warning", False)


def test_a_monitoring_role_needs_one_grant(db: Database, role: str) -> None:
    db.execute(f"grant execute on function class_activation.health to {role}")
    db.execute(f"set role {role}")
    assert db.health().status == "warning"
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        db.preview()
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        db.execute("select * from class_activation.runs")
    db.execute("reset role")
    db.execute(f"drop owned by {role}")


@pytest.mark.parametrize("mode", ["access exclusive", "row exclusive"])
def test_health_answers_while_another_session_has_cron_job_locked(scheduled: Database, mode: str) -> None:
    watcher = scheduled.connect()
    watcher.execute("set statement_timeout = '5s'")

    with open_transaction(scheduled, f"lock table cron.job in {mode} mode"):
        (row,) = watcher.execute("select * from class_activation.health()").fetchall()

    assert (row.status, row.job_active) == ("ok", None if mode == "access exclusive" else True)
    assert watcher.execute("show lock_timeout").fetchone() == ("0",)
    assert scheduled.health().job_active is True


@pytest.mark.parametrize(
    "revoked",
    ["revoke select on cron.job from public, {role}", "revoke usage on schema cron from public, {role}"],
)
def test_health_answers_where_its_owner_may_not_read_cron_job(
    cron: Database, role: str, revoked: str
) -> None:
    own_platform(cron, role)
    cron.execute(f"grant usage on schema cron to {role}")
    deploy("upgrade", "head", database=cron.name)
    owner = cron.connect(user=role, password="secret")
    owner.execute("select class_activation.activate_scheduled_classes()")
    question = "select status, job_active from class_activation.health()"
    assert owner.execute(question).fetchall() == [("ok", True)]

    cron.execute(revoked.format(role=role))
    try:
        assert owner.execute(question).fetchall() == [("ok", None)]
        # and of every caller
        assert cron.rows(question) == [("ok", None)]
    finally:
        cron.execute("grant select on cron.job to public")
