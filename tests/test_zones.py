"""Every zone name that the server knows, day by day, against Python's zoneinfo."""

import os
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from harness import Database

FIRST_DAY = date(2025, 1, 1)
LAST_DAY = date(2027, 12, 31)

# zone, and a day on which its clock changes
CLOCK_CHANGES = [
    ("America/Chicago", "2026-03-08"),
    ("America/Chicago", "2026-11-01"),
    ("America/Havana", "2026-03-08"),
    ("Europe/Berlin", "2026-03-29"),
    ("Europe/Berlin", "2026-10-25"),
    # by half an hour, and at midnight
    ("Australia/Lord_Howe", "2026-04-05"),
    ("Australia/Lord_Howe", "2026-10-04"),
    ("America/Santiago", "2026-04-05"),
    ("America/Santiago", "2026-09-06"),
    # a day that did not exist at all
    ("Pacific/Apia", "2011-12-30"),
]


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
    """Return the days on which AT has another distance from UTC than the day before, and that distance."""
    zone, changes, offset = ZoneInfo(name), [], None
    for day in range((LAST_DAY - FIRST_DAY).days + 1):
        start = FIRST_DAY + timedelta(days=day)
        before, offset = offset, datetime.combine(start, at, zone).utcoffset()
        if offset != before:
            changes.append((start, offset))
    return changes


@pytest.mark.slow
@pytest.mark.skipif("IMAGE" in os.environ, reason="needs a server with the time zones of this machine")
def test_5_am_is_5_am_in_every_zone_on_every_day_of_three_years(everywhere: Database) -> None:
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
    # PostgreSQL has names that are no names of places, and finds them by itself
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


@pytest.mark.parametrize("not_before", ["00:00", "00:30", "01:30", "02:30", "24:00"])
def test_a_class_that_is_due_stays_due_while_clocks_change(db: Database, not_before: str) -> None:
    for timezone, start_dt in CLOCK_CHANGES:
        db.class_(db.facility(timezone), start_dt)

    answers = db.rows(
        """
        select p.class_id, i.as_of, p.due, p.due_at
        from (select distinct start_dt from public.program_classes) d
        cross join generate_series(
          d.start_dt::timestamptz - interval '1 day', d.start_dt::timestamptz + interval '60 hours',
          interval '30 minutes'
        ) i (as_of)
        cross join lateral class_activation_internal.evaluate_classes(i.as_of, %s, null, true) p
        where p.start_dt = d.start_dt
        order by p.class_id, i.as_of
        """,
        not_before,
    )

    for class_id in range(1, len(CLOCK_CHANGES) + 1):
        of_class = [row for row in answers if row.class_id == class_id]
        assert [row.due for row in of_class] == [row.due_at <= row.as_of for row in of_class]
        assert {row.due for row in of_class} == {False, True}
        assert len({row.due_at for row in of_class}) == 1


@pytest.mark.parametrize("not_before", ["01:30", "02:30"])
@pytest.mark.parametrize("start_dt", ["2026-03-08", "2025-11-02"])
def test_a_run_activates_it_at_the_first_call_at_which_preview_says_so(
    db: Database, start_dt: str, not_before: str
) -> None:
    class_id = db.class_(db.facility("America/Chicago"), start_dt)
    instants = [
        row.as_of
        for row in db.rows(
            "select as_of from generate_series(%s::timestamptz, %s::timestamptz + interval '5 hours',"
            " interval '15 minutes') as_of order by as_of desc",
            f"{start_dt} 05:30Z",
            f"{start_dt} 05:30Z",
        )
    ]
    shown = [db.value("select due from class_activation.preview(%s, %s)", at, not_before) for at in instants]

    # from the latest to the earliest, each undone: what one run sees does not depend on another
    activated = []
    for at in instants:
        session = db.connect(autocommit=False)
        activated.append(
            session.execute(
                "select class_id from public.activate_scheduled_classes(%s, %s)", (at, not_before)
            ).fetchall()
            == [(class_id,)]
        )
        session.close()

    assert activated == shown == sorted(shown, reverse=True)
    assert set(shown) == {False, True}


@pytest.mark.parametrize(
    "timezone",
    ["America", "zone.tab", "../etc/passwd", "/", ".", "infinity", "EST5,M3", "x" * 56, "Etc/GMT+99", "+"],
)
def test_what_is_no_zone_is_a_problem_or_a_clock_and_never_an_error(db: Database, timezone: str) -> None:
    db.class_(db.facility(timezone), "2026-02-02")
    other = db.class_(db.facility("America/Denver"), "2026-02-02")

    assert other in [row.class_id for row in db.run()]
    assert db.value("select count(*) from class_activation.preview()") == db.last_run().classes_failed
    assert db.value("select unknown_timezones from class_activation.health()") == db.last_run().classes_failed
