"""When a class is due: the clock on its own facility's wall, and nothing else, decides."""

from datetime import datetime, timedelta

import pytest
from harness import Database

# zone, the UTC instant of midnight on Monday 2026-02-02 there, and of 05:00
US_ZONES = [
    ("America/New_York", "2026-02-02 05:00Z", "2026-02-02 10:00Z"),
    ("America/Chicago", "2026-02-02 06:00Z", "2026-02-02 11:00Z"),
    ("America/Denver", "2026-02-02 07:00Z", "2026-02-02 12:00Z"),
    ("America/Phoenix", "2026-02-02 07:00Z", "2026-02-02 12:00Z"),
    ("America/Los_Angeles", "2026-02-02 08:00Z", "2026-02-02 13:00Z"),
    ("America/Anchorage", "2026-02-02 09:00Z", "2026-02-02 14:00Z"),
    ("Pacific/Honolulu", "2026-02-02 10:00Z", "2026-02-02 15:00Z"),
]

# zone, start date, p_not_before, the UTC instant from which the class is due
OTHER_CLOCKS = [
    # half and quarter hours, and the first and last zones of the day
    ("Asia/Kolkata", "2026-02-02", "05:00", "2026-02-01 23:30Z"),
    ("Asia/Kathmandu", "2026-02-02", "05:00", "2026-02-01 23:15Z"),
    ("Australia/Eucla", "2026-02-02", "05:00", "2026-02-01 20:15Z"),
    ("Pacific/Kiritimati", "2026-02-02", "00:00", "2026-02-01 10:00Z"),
    ("Pacific/Pago_Pago", "2026-02-02", "00:00", "2026-02-02 11:00Z"),
    # the clock goes forward in Chicago: 05:00 comes an hour earlier in UTC than the day before
    ("America/Chicago", "2026-03-07", "05:00", "2026-03-07 11:00Z"),
    ("America/Chicago", "2026-03-08", "05:00", "2026-03-08 10:00Z"),
    # 02:30 does not exist on that day: it is an hour later on the wall
    ("America/Chicago", "2026-03-08", "02:30", "2026-03-08 08:30Z"),
    # the clock goes back, and 01:30 comes twice: due from the second
    ("America/Chicago", "2025-11-02", "05:00", "2025-11-02 11:00Z"),
    ("America/Chicago", "2025-11-02", "01:30", "2025-11-02 07:30Z"),
    # a southern zone changes the other way round
    ("Australia/Sydney", "2025-10-05", "05:00", "2025-10-04 18:00Z"),
    ("Australia/Sydney", "2026-04-05", "05:00", "2026-04-04 19:00Z"),
    # a zone whose midnight does not exist on the day its clock goes forward
    ("America/Santiago", "2026-09-06", "00:00", "2026-09-06 04:00Z"),
    # the end of the day is a time of day
    ("America/Chicago", "2026-02-02", "24:00", "2026-02-03 06:00Z"),
    # what PostgreSQL takes beside the IANA names
    ("EST5", "2026-02-02", "05:00", "2026-02-02 10:00Z"),
    ("<T>+04:57:30", "2026-02-02", "05:00", "2026-02-02 09:57:30Z"),
]

MOMENTS = (
    [(zone, "2026-02-02", "00:00", midnight) for zone, midnight, _ in US_ZONES]
    + [(zone, "2026-02-02", "05:00", five) for zone, _, five in US_ZONES]
    + OTHER_CLOCKS
)


@pytest.mark.parametrize(("timezone", "start_dt", "not_before", "moment"), MOMENTS)
def test_a_class_is_due_from_that_moment_and_not_a_microsecond_before(
    db: Database, timezone: str, start_dt: str, not_before: str, moment: str
) -> None:
    class_id = db.class_(db.facility(timezone), start_dt)
    instant = datetime.fromisoformat(moment)

    assert db.run(str(instant - timedelta(microseconds=1)), not_before) == []
    assert [row.class_id for row in db.run(str(instant), not_before)] == [class_id]


@pytest.mark.parametrize(("timezone", "midnight", "five"), US_ZONES)
def test_due_at_is_the_instant_at_which_the_class_became_due(
    db: Database, timezone: str, midnight: str, five: str
) -> None:
    class_id = db.class_(db.facility(timezone), "2026-02-02")

    (row,) = db.run("2026-07-01 00:00Z", "05:00")

    assert row.class_id == class_id
    assert row.due_at == datetime.fromisoformat(five)


def test_without_arguments_everything_is_due_whose_start_date_has_come(db: Database) -> None:
    facility = db.facility("America/Chicago")
    today = db.value("select (now() at time zone 'America/Chicago')::date")
    started = db.class_(facility, today)
    backlog = db.class_(facility, today - timedelta(days=400))
    tomorrow = db.class_(facility, today + timedelta(days=1))

    assert [row.class_id for row in db.run()] == [backlog, started]
    assert db.status(tomorrow) == "Scheduled"


@pytest.mark.parametrize(
    "columns",
    [
        {"archived_at": "2026-01-01 00:00Z"},
        {"deleted_at": "2026-01-01 00:00Z"},
        {"start_dt": None},
        {"start_dt": "infinity"},
        {"status": "Active"},
        {"status": "Cancelled"},
        {"status": "Completed"},
        {"status": "Paused"},
        {"status": None},
    ],
    ids=str,
)
def test_a_class_that_is_not_waiting_to_start_is_left_alone(db: Database, columns: dict[str, str]) -> None:
    class_id = db.class_(**columns)
    before = db.value("select c::text from {classes} c where id = %s", class_id)

    assert db.run() == []
    assert db.value("select c::text from {classes} c where id = %s", class_id) == before
    assert db.rows("select * from class_activation.problems") == []


def test_a_class_of_a_deleted_facility_is_left_alone(db: Database) -> None:
    class_id = db.class_(db.facility(deleted_at="2026-01-01 00:00Z"))

    assert db.run() == []
    assert db.status(class_id) == "Scheduled"


def test_each_facility_has_its_own_morning(db: Database) -> None:
    classes = {zone: db.class_(db.facility(zone), "2026-02-02") for zone, _, _ in US_ZONES}

    for zone, _, five in US_ZONES:
        due = {row.class_id for row in db.run(five, "05:00")}
        same_clock = {classes[other] for other, _, at in US_ZONES if at == five}
        assert due in (same_clock, set()), zone
    assert {db.status(class_id) for class_id in classes.values()} == {"Active"}
