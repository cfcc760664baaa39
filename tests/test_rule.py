"""Which classes a run activates; test_zones.py has the clock."""

from datetime import UTC, datetime, timedelta

from harness import Database, posix_zone


def test_without_arguments_a_run_uses_the_hour_of_settings(db: Database) -> None:
    now = datetime.now(UTC)
    today = now.date()
    it_is_noon = posix_zone(timedelta(hours=12) - timedelta(hours=now.hour, minutes=now.minute))
    facility = db.facility(it_is_noon)
    started = db.class_(facility, today)
    backlog = db.class_(facility, today - timedelta(days=400))
    tomorrow = db.class_(facility, today + timedelta(days=1))

    assert [row.class_id for row in db.run()] == [backlog, started]
    assert db.status(tomorrow) == "Scheduled"


def test_no_other_class_is_activated(db: Database) -> None:
    for columns in (
        {"archived_at": "2026-01-01 00:00Z"},
        {"deleted_at": "2026-01-01 00:00Z"},
        {"start_dt": None},
        {"start_dt": "infinity"},
        {"status": "Active"},
        {"status": "Cancelled"},
        {"status": "Completed"},
        {"status": "Paused"},
        {"status": None},
        {"facility_id": db.facility(deleted_at="2026-01-01 00:00Z")},
    ):
        db.class_(**columns)
    before = db.rows("select c::text from {classes} c order by id")

    assert db.run() == []
    assert db.rows("select c::text from {classes} c order by id") == before
    assert db.rows("select * from class_activation.problems") == []
