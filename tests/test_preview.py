"""preview(): the classes that a run would activate."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from harness import Database

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
    db.execute("select setseed(0.42)")
    db.execute(
        "insert into public.facilities (name, timezone)"
        " select z, z from unnest(array['America/New_York', 'America/Anchorage', 'Asia/Kathmandu',"
        " 'Pacific/Kiritimati', 'Pacific/Pago_Pago', 'EST5', '<T>-99', 'Mars/Phobos', '']) z"
    )
    db.program()
    if db.cohorts:
        db.execute(
            "insert into public.program_classes (program_id, facility_id, name)"
            " select 1, f.id, f.name from public.facilities f order by f.id"
        )
    first = db.value("select min(id) from public.program_classes") if db.cohorts else 1
    db.execute(
        f"insert into {db.classes} ({'class_id,' if db.cohorts else ''}"
        " program_id, facility_id, start_dt, status, archived_at, deleted_at)"
        f" select {f'{first} - 1 + f.id,' if db.cohorts else ''} 1, f.id,"
        " date '2026-03-08' + floor(random() * 7 - 3)::int,"
        " (enum_range(null::public.class_status))[1 + floor(random() * 1.3)],"
        " case when random() < 0.1 then now() end, case when random() < 0.1 then now() end"
        " from (select 1 + floor(random() * 9)::integer from generate_series(1, 400)) f (id)"
    )
    activated = 0
    for hour in range(-80, 100, 7):
        as_of = str(datetime(2026, 3, 8, tzinfo=UTC) + timedelta(hours=hour))
        due = [row.class_id for row in db.preview(as_of, "05:00").values() if row.due]
        assert [row.class_id for row in db.run(as_of, "05:00")] == due
        activated += len(due)
    assert activated > 100
