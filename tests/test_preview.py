"""preview(): the classes that a run would activate."""

from datetime import UTC, datetime, timedelta
from random import Random

import psycopg
import pytest
from harness import US_ZONES, Database

AS_OF = "2026-03-02 12:00Z"


def test_preview_shows_each_scheduled_class_and_when_it_is_due(db: Database) -> None:
    facility = db.facility("America/Denver", name="Pueblo")
    class_id = db.class_(facility, "2026-03-02", name="Welding")
    others = {"enrollment_status": "Cancelled"}, {"enrolled_at": "2026-01-01"}, {"deleted_at": "2026-01-01"}
    for columns in ({}, {}, *others):
        db.enrollment(class_id, **columns)
    for other in ({"status": "Active"}, {"archived_at": "2026-01-01"}, {"deleted_at": "2026-01-01"}):
        db.class_(facility, **other)

    (row,) = db.preview("2026-03-02 12:30Z").values()

    assert row._asdict() == {
        "class_id": class_id,
        "class_name": "Welding",
        "facility_id": facility,
        "facility_name": "Pueblo",
        "timezone": "America/Denver",
        "start_dt": datetime(2026, 3, 2).date(),
        "due_at": datetime(2026, 3, 2, 12, tzinfo=UTC),
        "due": True,
        "late": timedelta(minutes=30),
        "enrollments_to_backfill": 2,
        "problem": None,
    }


def test_preview_shows_the_future_and_every_problem(db: Database) -> None:
    far = db.class_(start_dt="2999-01-01")
    lost = db.class_(db.facility("Mars/Phobos"))
    dateless = db.class_(start_dt=None)
    closed = db.class_(db.facility(deleted_at="2026-01-01"))

    today = db.preview()
    assert {class_id: (row.due, row.late) for class_id, row in today.items()} == dict.fromkeys(
        (far, lost, dateless, closed), (False, None)
    )
    assert (today[far].problem, today[far].due_at.year) == (None, 2999)
    assert "Mars/Phobos" in today[lost].problem
    assert "start_dt" in today[dateless].problem
    assert "facility is deleted" in today[closed].problem
    assert db.preview("2999-01-02 00:00Z")[far].due


def test_preview_shows_the_last_error(db: Database) -> None:
    class_id = db.class_()
    db.execute("alter table {classes} add constraint c check (status <> 'Active') not valid")
    db.run()

    row = db.preview()[class_id]
    assert row.due
    assert "violates check constraint" in row.problem


def test_preview_writes_nothing(db: Database) -> None:
    db.class_()
    db.execute("set default_transaction_read_only = on")
    assert len(db.preview()) == 1
    assert db.health().overdue_classes == 1
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        db.run()


def test_preview_rejects_a_time_out_of_range(db: Database) -> None:
    for as_of in (None, "infinity", "-infinity", "294276-12-31"):
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            db.preview(as_of)


def test_a_run_activates_exactly_the_classes_that_preview_shows_as_due(db: Database) -> None:
    choose = Random(42).choice
    zones = ["Asia/Kathmandu", "Pacific/Kiritimati", "Pacific/Pago_Pago", "EST5", "<T>-99", "Mars/Phobos"]
    facilities, program = [db.facility(zone) for zone in (*US_ZONES, *zones, "")], db.program()
    for _ in range(400):
        start_dt, status = f"2026-03-{choose(range(5, 12)):02}", choose(["Scheduled"] * 3 + ["Active"])
        gone = {choose(["archived_at", "deleted_at"]): choose([None] * 5 + ["2026-01-01"])}
        db.class_(choose(facilities), start_dt, program_id=program, status=status, **gone)
    activated = 0
    for hour in range(-80, 100, 7):
        as_of = str(datetime(2026, 3, 8, tzinfo=UTC) + timedelta(hours=hour))
        due = [row.class_id for row in db.preview(as_of, "05:00").values() if row.due]
        assert [row.class_id for row in db.run(as_of, "05:00")] == due
        activated += len(due)
    assert activated > 100
