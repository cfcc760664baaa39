"""Local time in every zone that the server knows, against Python, and names that are no zones."""

import os
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from harness import Database

FIRST_DAY = date(2025, 1, 1)
LAST_DAY = date(2027, 12, 31)

# zone, start date, p_not_before, and the UTC time at which the class is due
DUE_AT = [
    ("America/New_York", "2026-02-02", "00:00", "2026-02-02 05:00Z"),
    ("America/New_York", "2026-02-02", "05:00", "2026-02-02 10:00Z"),
    ("America/Chicago", "2026-02-02", "05:00", "2026-02-02 11:00Z"),
    ("America/Denver", "2026-02-02", "05:00", "2026-02-02 12:00Z"),
    ("America/Phoenix", "2026-02-02", "05:00", "2026-02-02 12:00Z"),
    ("America/Anchorage", "2026-02-02", "05:00", "2026-02-02 14:00Z"),
    ("Pacific/Honolulu", "2026-02-02", "05:00", "2026-02-02 15:00Z"),
    # half and quarter hours, and the first and last zones of the day
    ("Asia/Kolkata", "2026-02-02", "05:00", "2026-02-01 23:30Z"),
    ("Australia/Eucla", "2026-02-02", "05:00", "2026-02-01 20:15Z"),
    ("Pacific/Kiritimati", "2026-02-02", "00:00", "2026-02-01 10:00Z"),
    ("Pacific/Pago_Pago", "2026-02-02", "00:00", "2026-02-02 11:00Z"),
    # the clock goes forward in Chicago: 05:00 comes an hour earlier in UTC than the day before
    ("America/Chicago", "2026-03-07", "05:00", "2026-03-07 11:00Z"),
    ("America/Chicago", "2026-03-08", "05:00", "2026-03-08 10:00Z"),
    # 02:30 does not exist on that day: the class is due an hour later, at 03:30
    ("America/Chicago", "2026-03-08", "02:30", "2026-03-08 08:30Z"),
    # the clock goes back, and 01:30 comes twice: due from the second
    ("America/Chicago", "2025-11-02", "05:00", "2025-11-02 11:00Z"),
    ("America/Chicago", "2025-11-02", "01:30", "2025-11-02 07:30Z"),
    # a southern zone changes the other way round
    ("Australia/Sydney", "2025-10-05", "05:00", "2025-10-04 18:00Z"),
    ("Australia/Sydney", "2026-04-05", "05:00", "2026-04-04 19:00Z"),
    # a zone that skipped the whole day
    ("Pacific/Apia", "2011-12-30", "05:00", "2011-12-30 15:00Z"),
    # a zone whose midnight does not exist on the day on which the clock goes forward
    ("America/Santiago", "2026-09-06", "00:00", "2026-09-06 04:00Z"),
    # the end of the day is a time of day
    ("America/Chicago", "2026-02-02", "24:00", "2026-02-03 06:00Z"),
    # PostgreSQL also accepts names that are not IANA locations
    ("EST5", "2026-02-02", "05:00", "2026-02-02 10:00Z"),
    ("<T>+04:57:30", "2026-02-02", "05:00", "2026-02-02 09:57:30Z"),
]


def test_a_class_is_due_at_its_local_time_and_not_a_microsecond_before(db: Database) -> None:
    for case in DUE_AT:
        timezone, start_dt, not_before, moment = case
        class_id, due_at = db.class_(db.facility(timezone), start_dt), datetime.fromisoformat(moment)
        for as_of in (due_at - timedelta(microseconds=1), due_at):
            due = as_of == due_at
            row = db.preview(as_of, not_before)[class_id]
            assert (row.due, row.due_at) == (due, due_at), case
            activated = [(row.class_id, row.due_at) for row in db.run(str(as_of), not_before)]
            assert activated == [(class_id, due_at)] * due, case


@pytest.fixture
def everywhere(db: Database) -> Database:
    """A facility in each zone that the server knows, with a class that starts on each day of three years."""
    # without foreign keys and indexes, which would take most of the time
    db.execute("set session_replication_role = replica")
    db.execute(
        "drop index public.idx_program_sections_program_id, public.idx_program_sections_facility_id,"
        " public.idx_program_sections_deleted_at, public.idx_program_sections_end_dt,"
        " public.class_activation_due_idx"
    )
    db.execute(
        "insert into public.facilities (name, timezone) select z.name, z.name from pg_timezone_names z"
        " where z.name !~ '^(posix|right)/'"
    )
    db.execute(
        "insert into public.program_classes (program_id, facility_id, start_dt, status)"
        " select 1, f.id, %s::date + d, 'Scheduled'"
        " from public.facilities f cross join generate_series(0, %s) d",
        FIRST_DAY,
        (LAST_DAY - FIRST_DAY).days,
    )
    db.execute("analyze public.program_classes (facility_id, start_dt, status)")
    return db


def changes_by_zoneinfo(name: str, at: time) -> list[tuple[date, timedelta]]:
    """Return the days on which the UTC offset at AT differs from the day before, and that offset."""
    zone, changes, offset = ZoneInfo(name), [], None
    for day in range((LAST_DAY - FIRST_DAY).days + 1):
        start = FIRST_DAY + timedelta(days=day)
        before, offset = offset, datetime.combine(start, at, zone).utcoffset()
        if offset != before:
            changes.append((start, offset))
    return changes


@pytest.mark.slow
@pytest.mark.skipif("IMAGE" in os.environ, reason="needs a server with the time zones of this machine")
def test_5_am_agrees_with_python_in_every_zone_for_three_years(everywhere: Database) -> None:
    as_of = "2026-10-31 23:59:59.999999Z"
    everywhere.execute(
        "create temporary table planned as select s.timezone, s.start_dt, s.due_at, s.due,"
        " s.start_dt + time '05:00' - s.due_at at time zone 'UTC' as utcoffset"
        " from class_activation_internal.evaluate_classes(%s, '05:00', null, true) s",
        as_of,
    )
    found: dict[str, list[tuple[date, timedelta]]] = {}
    for row in everywhere.rows(
        """
        select s.timezone, s.start_dt, s.utcoffset
        from (
          select p.*, lag(p.utcoffset) over (partition by p.timezone order by p.start_dt) as before
          from planned p
        ) s
        where s.utcoffset is distinct from s.before
        order by s.timezone, s.start_dt
        """
    ):
        found.setdefault(row.timezone, []).append((row.start_dt, row.utcoffset))
    assert len(found) > 400

    known = found.keys() & available_timezones()
    different = {name for name in known if found[name] != changes_by_zoneinfo(name, time(5))}

    abbreviations = {
        row.name for row in everywhere.rows("select lower(abbrev) as name from pg_timezone_abbrevs")
    }
    assert {name for name in different if name.lower() not in abbreviations} == set()
    # PostgreSQL also lists names that are not locations
    assert {name for name in found.keys() - known if not name.startswith(("posix/", "right/"))} <= {
        "localtime",
        "posixrules",
        "Factory",
    }
    detail = everywhere.value(
        "select d.failure from class_activation.doctor_platform() d where d.check_name = 'timezone_names'"
    )
    assert {name for name in different if f"'{name}' at facility" not in detail} == set()

    answer = everywhere.row(
        "select count(*) as classes, count(*) filter (where due <> (due_at <= %s)) as wrong from planned",
        as_of,
    )
    assert answer == (len(found) * ((LAST_DAY - FIRST_DAY).days + 1), 0)


def test_an_invalid_zone_never_raises(db: Database) -> None:
    zones = ["America", "zone.tab", "../etc/passwd", "/", ".", "infinity", "EST5,M3", "Etc/GMT+99", "x" * 56]
    for timezone in zones:
        db.class_(db.facility(timezone), "2026-02-02")
    other = db.class_(db.facility("America/Denver"), "2026-02-02")

    assert other in [row.class_id for row in db.run()]
    assert 0 < db.last_run().classes_failed <= len(zones)
    assert len(db.preview()) == db.health().unknown_timezones == db.last_run().classes_failed
