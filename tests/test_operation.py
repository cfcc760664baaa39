"""What a DBA looks at and takes back: preview, health, revert, and what the job cuts by itself."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from threading import Barrier

import psycopg
import pytest
from harness import BATCH_USER, COMMAND, Database, deploy, own_platform, posix_zone

AS_OF = "2026-03-02 12:00Z"
JOB = f"activate_scheduled_classes('{AS_OF}')"


def preview(db: Database, *arguments: object) -> dict[int, object]:
    """Return the rows of preview by class."""
    marks = ", ".join(["%s"] * len(arguments))
    return {
        row.class_id: row for row in db.rows(f"select * from class_activation.preview({marks})", *arguments)
    }


def health(db: Database, *arguments: object) -> object:
    """Return the row of health."""
    marks = ", ".join(["%s"] * len(arguments))
    return db.row(f"select * from class_activation.health({marks})", *arguments)


def outcomes(db: Database, *arguments: object) -> dict[int, tuple[str, int]]:
    """Take a run back and return the outcome and the number of enrollments by class."""
    marks = ", ".join(["%s"] * len(arguments))
    rows = db.rows(f"select * from class_activation.revert({marks})", *arguments)
    return {row.class_id: (row.outcome, row.enrollments_reverted) for row in rows}


def revert(db: Database, *arguments: object) -> dict[int, int]:
    """Take a run back and return the number of enrollments of each class that was."""
    return {
        class_id: enrollments
        for class_id, (outcome, enrollments) in outcomes(db, *arguments).items()
        if outcome == "reverted"
    }


def test_preview_shows_each_waiting_class_and_when_its_morning_comes(db: Database) -> None:
    facility = db.facility("America/Denver", name="Pueblo")
    class_id = db.class_(facility, "2026-03-02", name="Welding")
    for columns in (
        {},
        {},
        {"enrollment_status": "Cancelled"},
        {"enrolled_at": "2026-01-01"},
        {"deleted_at": "2026-01-01"},
    ):
        db.enrollment(class_id, **columns)
    for other in ({"status": "Active"}, {"archived_at": "2026-01-01"}, {"deleted_at": "2026-01-01"}):
        db.class_(facility, **other)

    (row,) = preview(db, "2026-03-02 12:30Z").values()

    assert row._asdict() == {
        "class_id": class_id,
        "class_name": "Welding",
        "facility_id": facility,
        "facility_name": "Pueblo",
        "timezone": "America/Denver",
        "start_dt": datetime(2026, 3, 2).date(),
        "due_at": datetime(2026, 3, 2, 12, tzinfo=timezone.utc),
        "due": True,
        "late": timedelta(minutes=30),
        "enrollments_to_backfill": 2,
        "problem": None,
    }


def test_preview_looks_into_the_future_and_past_every_problem(db: Database) -> None:
    far = db.class_(start_dt="2999-01-01")
    lost = db.class_(db.facility("Mars/Phobos"))
    dateless = db.class_(start_dt=None)
    closed = db.class_(db.facility(deleted_at="2026-01-01"))

    today = preview(db)
    assert {class_id: row.due for class_id, row in today.items()} == dict.fromkeys(
        (far, lost, dateless, closed), False
    )
    assert (today[far].problem, today[far].due_at.year) == (None, 2999)
    assert "Mars/Phobos" in today[lost].problem
    assert "start_dt" in today[dateless].problem
    assert "facility is deleted" in today[closed].problem
    assert preview(db, "2999-01-02 00:00Z")[far].due


def test_preview_shows_the_last_error(db: Database) -> None:
    class_id = db.class_()
    db.execute("alter table {classes} add constraint c check (status <> 'Active') not valid")
    db.run()

    row = preview(db)[class_id]
    assert row.due
    assert "violates check constraint" in row.problem


def test_preview_writes_nothing(db: Database) -> None:
    db.class_()
    db.execute("set default_transaction_read_only = on")
    assert len(preview(db)) == 1
    assert health(db).overdue_classes == 1


@pytest.mark.parametrize("arguments", ["null", "'infinity'", "'-infinity'", "'294276-12-31'"])
def test_preview_refuses_what_is_no_instant(db: Database, arguments: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        db.execute(f"select class_activation.preview({arguments})")


def test_what_preview_shows_as_due_is_exactly_what_a_run_at_that_instant_activates(db: Database) -> None:
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
        as_of = str(datetime(2026, 3, 8, tzinfo=timezone.utc) + timedelta(hours=hour))
        due = [row.class_id for row in preview(db, as_of, "05:00").values() if row.due]
        assert [row.class_id for row in db.run(as_of, "05:00")] == due
        activated += len(due)
    assert activated > 100


def test_health_of_a_database_in_which_all_is_well(db: Database) -> None:
    activated = db.class_()
    db.enrollment(activated)
    facility = db.facility("America/Chicago")
    soon = db.value("select (now() at time zone 'America/Chicago')::date + 10")
    db.class_(facility, soon + timedelta(days=1))
    db.class_(facility, soon)
    db.run()

    row = health(db)

    assert (row.status, row.overdue_classes, row.oldest_overdue_seconds) == ("ok", 0, 0)
    assert row.last_run_at == db.last_run().started_at
    assert 0 <= row.seconds_since_last_run < 60
    assert (row.problem_classes, row.unknown_timezones) == (0, 0)
    assert row.next_due_at == db.value("select (%s + time '05:00') at time zone 'America/Chicago'", soon)
    assert (row.classes_activated_24h, row.enrollments_backfilled_24h) == (1, 1)
    assert row.job_active is None


def test_health_is_critical_when_classes_are_overdue_and_only_past_the_grace(db: Database) -> None:
    db.run()
    now = datetime.now(timezone.utc)
    it_is_seven = posix_zone(timedelta(hours=7) - timedelta(hours=now.hour, minutes=now.minute))
    db.class_(db.facility(it_is_seven), now.date())

    assert health(db, "05:00", "3 hours").status == "ok"
    row = health(db)
    assert (row.status, row.overdue_classes) == ("critical", 1)
    assert 7200 <= row.oldest_overdue_seconds < 7300


def test_health_warns_of_problems_unknown_zones_and_a_silent_job(db: Database) -> None:
    assert health(db).status == "warning"
    db.run()
    assert health(db).status == "ok"

    db.execute("update class_activation.runs set started_at = started_at - interval '61 minutes'")
    row = health(db)
    assert (row.status, row.seconds_since_last_run // 60) == ("warning", 61)
    db.run()

    for _ in range(2):
        db.facility("Mars/Phobos")
    assert (health(db).status, health(db).unknown_timezones) == ("warning", 1)
    db.class_(db.facility("Mars/Deimos"))
    db.run()
    assert (health(db).problem_classes, health(db).unknown_timezones) == (1, 2)


def test_health_does_not_count_what_was_taken_back(db: Database) -> None:
    db.class_()
    db.run()
    job = db.last_run()
    revert(db, job.id)

    assert health(db).classes_activated_24h == 0
    assert health(db).last_run_at == job.started_at


def test_health_sees_whether_the_job_is_active(cron: Database) -> None:
    deploy("upgrade", "head", database=cron.name)
    cron.run()
    assert (health(cron).status, health(cron).job_active) == ("ok", True)

    cron.execute("select cron.alter_job(jobid, active => false) from cron.job")
    assert (health(cron).status, health(cron).job_active) == ("warning", False)


def test_a_monitoring_role_needs_one_grant(db: Database, role: str) -> None:
    db.execute(f"grant execute on function class_activation.health to {role}")
    db.execute(f"set role {role}")
    assert health(db).status == "warning"
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        preview(db)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        db.execute("select * from class_activation.runs")
    db.execute("reset role")
    db.execute(f"drop owned by {role}")


def test_revert_takes_a_run_back(db: Database) -> None:
    classes = [db.class_() for _ in range(2)]
    enrollments = [db.enrollment(class_id) for class_id in classes for _ in range(3)]
    cancelled = db.enrollment(classes[0], enrollment_status="Cancelled")
    db.run(AS_OF)
    run = db.last_run()

    assert revert(db, run.id) == dict.fromkeys(classes, 3)

    assert [db.status(class_id) for class_id in classes] == ["Scheduled", "Scheduled"]
    assert [db.enrolled_at(enrollment) for enrollment in [*enrollments, cancelled]] == [None] * 7
    row = db.row("select * from {classes} where id = %s", classes[0])
    assert row.update_user_id == BATCH_USER
    reverting = db.last_run()
    assert (reverting.reverts, reverting.classes_activated) == (run.id, 0)
    assert reverting.finished_at is not None
    assert (
        db.value("select count(*) from class_activation.activations where reverted_by = %s", reverting.id)
        == 2
    )
    # and only once
    assert outcomes(db, run.id) == dict.fromkeys(classes, ("already reverted", 0))


def test_revert_takes_back_only_the_classes_it_is_given(db: Database) -> None:
    first, second = db.class_(), db.class_()
    db.run(AS_OF)

    assert revert(db, db.last_run().id, [first]) == {first: 0}
    assert db.status(second) == "Active"


@pytest.mark.parametrize(
    "change",
    [
        "update {classes} set status = 'Paused'",
        "update {classes} set capacity = 9, updated_at = now()",
        "update {classes} set update_user_id = 7",
        "update {classes} set archived_at = now()",
        "update {classes} set deleted_at = now()",
    ],
)
def test_revert_leaves_a_class_that_was_changed_since(db: Database, change: str) -> None:
    class_id = db.class_()
    enrollment = db.enrollment(class_id)
    db.run(AS_OF)
    run = db.last_run()
    db.execute(change)

    assert outcomes(db, run.id) == {class_id: ("changed since", 0)}
    assert db.enrolled_at(enrollment) is not None


def test_revert_leaves_enrollments_that_were_changed_since(db: Database) -> None:
    class_id = db.class_()
    untouched, withdrawn, corrected, completed = (db.enrollment(class_id) for _ in range(4))
    before = db.enrollment(class_id, enrolled_at="2026-01-01 00:00Z")
    db.run(AS_OF)
    for enrollment, change in {
        withdrawn: "enrollment_status = 'Incomplete: Withdrawn'",
        corrected: "enrolled_at = '2026-03-01 00:00Z'",
    }.items():
        db.execute(
            "update public.program_class_enrollments"
            f" set {change}, updated_at = now() where id = {enrollment}"
        )
    # even by a writer that does not keep updated_at
    db.execute(
        "update public.program_class_enrollments set enrollment_status = 'Completed' where id = %s", completed
    )

    assert revert(db, db.last_run().id) == {class_id: 1}
    assert db.enrolled_at(untouched) is None
    assert all(
        db.enrolled_at(enrollment) is not None for enrollment in (withdrawn, corrected, completed, before)
    )


def test_revert_skips_what_another_session_holds(db: Database) -> None:
    held, free = db.class_(), db.class_()
    db.run(AS_OF)
    editor = db.connect(autocommit=False)
    editor.execute(f"select from {db.classes} where id = %s for update", [held])

    assert outcomes(db, db.last_run().id) == {held: ("locked", 0), free: ("reverted", 0)}
    editor.rollback()
    assert db.status(held) == "Active"


def test_a_class_taken_back_is_not_activated_again(db: Database) -> None:
    class_id = db.class_()
    db.run(AS_OF)
    revert(db, db.last_run().id)
    db.execute("update {classes} set capacity = 9, updated_at = now()")

    assert db.run() == []
    row = preview(db)[class_id]
    assert not row.due
    assert f"select class_activation.release({class_id})" in row.problem
    assert health(db).overdue_classes == 0
    assert db.rows("select * from class_activation.problems") == []


@pytest.mark.parametrize(
    "decision",
    [
        ["update {classes} set start_dt = '2026-03-05'"],
        [
            "update {classes} set start_dt = '2026-03-05'",
            "update {classes} set start_dt = '2026-03-02'",
        ],
        [
            "update {classes} set status = 'Cancelled'",
            "update {classes} set status = 'Scheduled'",
        ],
        ["select class_activation.release(id) from {classes}"],
        # without a trace in the history
        [
            "set session_replication_role = replica",
            "update {classes} set start_dt = '2026-03-05'",
        ],
        [
            "truncate public.program_classes_history",
            "update {classes} set start_dt = '2026-03-05'",
            "truncate public.program_classes_history",
        ],
    ],
)
def test_a_new_date_or_status_releases_what_was_taken_back(db: Database, decision: list[str]) -> None:
    class_id = db.class_()
    db.run(AS_OF)
    revert(db, db.last_run().id)

    for statement in decision:
        db.execute(statement)

    assert [row.class_id for row in db.run()] == [class_id]
    assert db.rows("select * from class_activation.holds") == []
    # and may be taken back again
    assert revert(db, db.last_run().id) == {class_id: 0}
    assert db.run() == []


def test_a_class_taken_back_and_started_by_hand_is_not_the_jobs_any_more(db: Database) -> None:
    class_id = db.class_()
    db.run(AS_OF)
    revert(db, db.last_run().id)
    db.execute("update {classes} set status = 'Active'")
    late = db.enrollment(class_id)

    db.run()

    assert db.enrolled_at(late) is None


@pytest.mark.parametrize("run_id", [None, 999])
def test_revert_refuses_a_run_that_is_not_there(db: Database, run_id: int | None) -> None:
    with pytest.raises(psycopg.errors.NoDataFound, match="does not exist or cannot be reverted") as error:
        revert(db, run_id)
    assert "class_activation.runs" in error.value.diag.message_hint
    assert db.rows("select * from class_activation.runs") == []


def test_a_run_of_revert_cannot_be_taken_back(db: Database) -> None:
    db.class_()
    db.run(AS_OF)
    revert(db, db.last_run().id)
    with pytest.raises(psycopg.errors.NoDataFound):
        revert(db, db.last_run().id)


def test_a_large_backlog_says_how_far_it_is(db: Database) -> None:
    db.due_classes(5500)
    said: list[str] = []
    db.connection.add_notice_handler(lambda diagnostic: said.append(diagnostic.message_primary))

    db.run(AS_OF)
    assert said == [f"{min(done, 5500)} of 5500 classes activated" for done in range(1000, 7000, 1000)]


def test_housekeeping_removes_what_pg_cron_logged_of_the_jobs_more_than_a_week_ago(
    cron: Database,
) -> None:
    deploy("upgrade", "head", database=cron.name)
    of_ours, of_another = (cron.name, COMMAND), (cron.name, "select 1")
    of_0_1_0 = (cron.name, "select public.activate_scheduled_classes(p_not_before => '05:00')")
    elsewhere = ("another_database", COMMAND)
    # in the order of time; the jobid may be that of a job that is no more, and a run may have no time
    log = [
        (of_another, 9),
        (of_ours, 9),
        (elsewhere, 9),
        (of_ours, None),
        (of_0_1_0, 8),
        (of_ours, 6),
        (of_ours, None),
    ]
    for run_id, ((database, command), days) in enumerate(log, start=-len(log)):
        cron.execute(
            "insert into cron.job_run_details (jobid, runid, database, command, status, start_time)"
            " values (-1, %s, %s, %s, 'succeeded', now() - make_interval(days => %s))",
            run_id,
            database,
            command,
            days,
        )

    assert cron.row("select * from class_activation.housekeeping()") == (0, 3)

    kept = cron.rows("delete from cron.job_run_details where runid < 0 returning runid")
    assert [log[row.runid] for row in kept] == [
        (of_another, 9),
        (elsewhere, 9),
        (of_ours, 6),
        (of_ours, None),
    ]


# what a trigger of the platform does with the columns by which one could tell who wrote a row last
STAMPS = {
    "updated_at is the clock": "new.updated_at := clock_timestamp();",
    "updated_at is a moment ahead": "new.updated_at := clock_timestamp() + interval '5 seconds';",
    "updated_at is rounded up": "new.updated_at := date_trunc('second', now()) + interval '1 second';",
    "updated_at is rounded down": "new.updated_at := date_trunc('second', now());",
    "updated_at stays": "new.updated_at := old.updated_at;",
    "the author is the session's": (
        "new.update_user_id := nullif(current_setting('app.user_id', true), '')::integer;"
    ),
    "the author is another": "new.update_user_id := 1;",
}


@pytest.mark.parametrize("table", ["classes", "enrollments", "both"])
@pytest.mark.parametrize("stamp", STAMPS.values(), ids=STAMPS)
def test_revert_recognises_what_a_trigger_has_stamped(db: Database, stamp: str, table: str) -> None:
    db.resident()
    class_id = db.class_(updated_at="2026-01-01")
    at_once, edited = (db.enrollment(class_id, updated_at="2026-01-01") for _ in range(2))
    db.execute(
        "create function public.stamp() returns trigger language plpgsql as"
        f" $$ begin {stamp} return new; end $$"
    )
    for stamped, name in (("classes", db.label), ("enrollments", "program_class_enrollments")):
        if table in (stamped, "both"):
            db.execute(
                f"create trigger stamp before update on public.{name}"
                " for each row execute function public.stamp()"
            )
    db.run(AS_OF)
    run = db.last_run()
    late = db.enrollment(class_id, updated_at="2026-01-01")
    db.run(AS_OF)
    db.execute("drop function public.stamp() cascade")
    db.execute(
        "update public.program_class_enrollments set enrolled_at = '2026-02-27', update_user_id = 1,"
        " updated_at = clock_timestamp() + interval '1 minute' where id = %s",
        edited,
    )

    assert outcomes(db, run.id) == {class_id: ("reverted", 2)}
    assert (db.enrolled_at(at_once), db.enrolled_at(late)) == (None, None)
    assert db.enrolled_at(edited) is not None


def test_revert_takes_back_a_date_as_a_trigger_has_written_it(db: Database) -> None:
    class_id = db.class_()
    at_once = db.enrollment(class_id)
    db.execute(
        """
        create function public.round() returns trigger language plpgsql as $$
        begin new.enrolled_at := date_trunc('day', new.enrolled_at); return new; end $$;
        create trigger round before update on public.program_class_enrollments
          for each row execute function public.round();
        """
    )
    db.run(AS_OF)
    run = db.last_run()
    late = db.enrollment(class_id)
    db.run(AS_OF)

    assert revert(db, run.id) == {class_id: 2}
    assert (db.enrolled_at(at_once), db.enrolled_at(late)) == (None, None)


def test_revert_takes_late_enrollments_of_its_classes_back_too(db: Database) -> None:
    first, second = db.class_(), db.class_()
    at_once = [db.enrollment(class_id) for class_id in (first, second)]
    db.run(AS_OF)
    run = db.last_run()
    late = []
    for _ in range(2):
        late += [db.enrollment(class_id) for class_id in (first, second)]
        db.run()
        # a run of another class in between
        db.class_()
    assert db.last_run().enrollments_backfilled == 2

    assert revert(db, run.id, [first]) == {first: 3}
    assert [db.enrolled_at(enrollment) is None for enrollment in at_once + late] == [True, False] * 3
    assert revert(db, run.id) == {second: 3}
    assert {db.enrolled_at(enrollment) for enrollment in at_once + late} == {None}
    # once it is released, all three start with the class
    db.execute("select class_activation.release(%s)", first)
    assert [(row.class_id, row.enrollments_backfilled) for row in db.run() if row.class_id == first] == [
        (first, 3)
    ]


def test_revert_leaves_late_enrollments_that_were_changed_since(db: Database) -> None:
    class_id = db.class_()
    db.run(AS_OF)
    run = db.last_run()
    untouched, corrected, withdrawn = (db.enrollment(class_id) for _ in range(3))
    db.run()
    db.execute(
        "update public.program_class_enrollments set enrolled_at = '2026-03-01', updated_at = now(),"
        " update_user_id = 1 where id = %s",
        corrected,
    )
    db.execute(
        "update public.program_class_enrollments set enrollment_status = 'Completed' where id = %s",
        withdrawn,
    )

    assert revert(db, run.id) == {class_id: 1}
    assert [db.enrolled_at(at) is None for at in (untouched, corrected, withdrawn)] == [True, False, False]


def test_what_late_enrollments_of_an_earlier_activation_got_is_not_that_runs(db: Database) -> None:
    class_id = db.class_()
    db.run(AS_OF)
    first = db.last_run()
    db.enrollment(class_id)
    db.run()
    revert(db, first.id)
    db.execute("select class_activation.release(%s)", class_id)
    db.run()
    second = db.last_run()
    late = db.enrollment(class_id)
    db.run()

    assert outcomes(db, first.id) == {class_id: ("already reverted", 0)}
    assert db.enrolled_at(late) is not None
    assert outcomes(db, second.id) == {class_id: ("reverted", 2)}


@pytest.mark.parametrize("strength", ["key share", "share", "no key update", "update"])
@pytest.mark.parametrize("which", ["class", "enrollment", "late enrollment"])
def test_a_locked_row_keeps_its_whole_class_and_one_that_is_only_looked_at_does_not(
    db: Database, which: str, strength: str
) -> None:
    class_id, other = db.class_(), db.class_()
    enrollments = [db.enrollment(class_id) for _ in range(3)]
    db.run(AS_OF)
    run = db.last_run()
    enrollments.append(db.enrollment(class_id))
    db.run(AS_OF)
    before = db.value("select c::text from {classes} c where id = %s", class_id)
    table = db.label if which == "class" else "program_class_enrollments"
    row = {"class": class_id, "enrollment": enrollments[1], "late enrollment": enrollments[3]}[which]
    session = db.connect(autocommit=False)
    session.execute(f"select from public.{table} where id = %s for {strength}", [row])

    found = outcomes(db, run.id)

    if strength == "key share":
        assert found == {class_id: ("reverted", 4), other: ("reverted", 0)}
        assert {db.enrolled_at(enrollment) for enrollment in enrollments} == {None}
    else:
        assert found == {class_id: ("locked", 0), other: ("reverted", 0)}
        assert None not in [db.enrolled_at(enrollment) for enrollment in enrollments]
        assert db.value("select c::text from {classes} c where id = %s", class_id) == before
        assert db.rows("select class_id from class_activation.holds") == [(other,)]
        session.rollback()
        assert outcomes(db, run.id) == {class_id: ("reverted", 4), other: ("already reverted", 0)}


def test_a_resident_who_is_being_enrolled_does_not_stop_revert(db: Database) -> None:
    class_id = db.class_()
    db.run(AS_OF)
    run = db.last_run()
    autocommit, editor = db.connection, db.connect(autocommit=False)
    db.connection = editor
    db.enrollment(class_id)
    db.connection = autocommit

    assert outcomes(db, run.id) == {class_id: ("reverted", 0)}
    editor.commit()


def test_each_class_of_the_run_has_its_outcome(db: Database) -> None:
    taken, edited, locked, before, deleted = (db.class_() for _ in range(5))
    db.run(AS_OF)
    run = db.last_run()
    revert(db, run.id, [before])
    db.execute(f"update {db.classes} set capacity = 9, updated_at = now() where id = {edited}")
    db.execute(f"delete from {db.classes} where id = {deleted}")
    session = db.connect(autocommit=False)
    session.execute(f"select from {db.classes} where id = {locked} for update")

    assert outcomes(db, run.id) == {
        taken: ("reverted", 0),
        edited: ("changed since", 0),
        locked: ("locked", 0),
        before: ("already reverted", 0),
        deleted: ("changed since", 0),
    }
    # only what was taken back counts as such
    last = db.last_run().id
    assert db.rows("select class_id from class_activation.activations where reverted_by = %s", last) == [
        (taken,)
    ]
    assert {row.class_id for row in db.rows("select class_id from class_activation.holds")} == {taken, before}
    assert db.rows("select * from class_activation.revert(%s, '{}')", run.id) == []


def test_revert_that_a_trigger_prevents_changes_nothing_and_says_so(db: Database) -> None:
    class_id, other = db.class_(), db.class_()
    db.run(AS_OF)
    run = db.last_run()
    db.execute(
        f"""
        create function public.keep() returns trigger language plpgsql as
          'begin new.status := old.status; return new; end';
        create trigger keep before update on {db.classes}
          for each row when (old.id = {class_id}) execute function public.keep();
        """
    )

    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match=f"run {run.id}"):
        revert(db, run.id)

    assert (db.status(class_id), db.status(other)) == ("Active", "Active")
    assert db.last_run() == run
    assert revert(db, run.id, [other]) == {other: 0}


PURGES = {
    "purged": "delete from public.program_classes_history",
    "truncated": "truncate public.program_classes_history",
    "truncated, and its ids begin anew": "truncate public.program_classes_history restart identity",
    "not written": "alter table {classes} disable trigger user",
}


@pytest.mark.parametrize("purge", PURGES.values(), ids=PURGES)
@pytest.mark.parametrize(
    ("change", "released"),
    [
        ("start_dt = '2026-03-01'", True),
        ("start_dt = null", False),
        ("status = 'Cancelled'", False),
        ("capacity = 9, updated_at = now()", False),
        ("end_dt = '2026-03-01'", False),
    ],
)
def test_a_hold_knows_what_it_held_without_the_platforms_history(
    db: Database, purge: str, change: str, released: bool
) -> None:
    class_id = db.class_()
    for _ in range(3):
        db.execute("update {classes} set capacity = 1")
    db.run(AS_OF)
    revert(db, db.last_run().id)
    db.execute(purge)
    assert db.run() == []

    db.execute(f"update {db.classes} set {change}")
    db.execute(purge)

    assert [row.class_id for row in db.run()] == ([class_id] if released else [])
    assert (db.rows("select * from class_activation.holds") != []) == (change[:4] in ("capa", "end_"))


def test_a_change_and_back_releases_a_hold_although_the_ids_of_the_history_begin_anew(db: Database) -> None:
    class_id = db.class_()
    for _ in range(9):
        db.execute("update {classes} set capacity = 1")
    db.run(AS_OF)
    revert(db, db.last_run().id)
    db.execute("truncate public.program_classes_history restart identity")

    for start_dt in ("2026-03-05", "2026-03-02"):
        db.execute("update {classes} set start_dt = %s", start_dt)

    assert [row.class_id for row in db.run()] == [class_id]


def test_a_hold_that_has_ended_stays_ended_when_the_history_of_it_is_purged(db: Database) -> None:
    class_id = db.class_()
    db.run(AS_OF)
    revert(db, db.last_run().id)
    db.execute("update {classes} set start_dt = '2999-01-01'")
    db.run(AS_OF)
    db.execute("update {classes} set start_dt = '2026-03-02'")
    db.execute("truncate public.program_classes_history")

    assert [row.class_id for row in db.run()] == [class_id]


def test_p_as_of_of_long_ago_never_dates_a_late_enrollment_before_its_class_was_activated(
    db: Database,
) -> None:
    classes = [db.class_() for _ in range(2)]
    for class_id in classes:
        db.run(AS_OF, max_classes=1)
        assert db.status(class_id) == "Active"
    late = {class_id: db.enrollment(class_id) for class_id in classes}

    db.run("2020-01-01 00:00Z")

    activated = {
        row.class_id: row.activated_at
        for row in db.rows("select class_id, activated_at from class_activation.activations")
    }
    assert len(set(activated.values())) == 2
    # each by its own class
    assert {class_id: db.enrolled_at(late[class_id]) for class_id in classes} == activated
    assert all(
        row.enrolled_at_values == [activated[row.class_id]]
        for row in db.rows("select * from class_activation.activations")
    )


@pytest.fixture
def scheduled(cron: Database) -> Database:
    """A database in which all is well, with the job in pg_cron."""
    deploy("upgrade", "head", database=cron.name)
    cron.run()
    assert health(cron).status == "ok"
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


@pytest.mark.parametrize("mode", ["access exclusive", "row exclusive"])
def test_health_answers_while_another_session_has_cron_job_locked(scheduled: Database, mode: str) -> None:
    watcher = scheduled.connect()
    watcher.execute("set statement_timeout = '5s'")

    with open_transaction(scheduled, f"lock table cron.job in {mode} mode"):
        (row,) = watcher.execute("select * from class_activation.health()").fetchall()

    assert (row.status, row.job_active) == ("ok", None if mode == "access exclusive" else True)
    assert watcher.execute("show lock_timeout").fetchone() == ("0",)
    assert health(scheduled).job_active is True


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


@pytest.mark.parametrize("lock", ["access exclusive", "exclusive", "an open delete"])
def test_a_lock_on_the_log_of_pg_cron_does_not_touch_a_run(scheduled: Database, lock: str) -> None:
    class_id = scheduled.class_()
    enrollment = scheduled.enrollment(class_id)
    scheduled.execute(
        "insert into cron.job_run_details (jobid, runid, database, command, status, start_time)"
        " values (-1, -1, current_database(), %s, 'succeeded', now() - interval '9 days')",
        COMMAND,
    )
    caller = scheduled.connect()
    caller.execute("set statement_timeout = '10s'")
    statement = f"lock table cron.job_run_details in {lock} mode"
    if lock == "an open delete":
        statement = "delete from cron.job_run_details where runid = -1"

    with open_transaction(scheduled, statement):
        caller.execute(COMMAND)

        assert scheduled.status(class_id) == "Active"
        assert scheduled.enrolled_at(enrollment) is not None
        # housekeeping gives up and says so
        with pytest.raises(psycopg.errors.LockNotAvailable):
            caller.execute("select class_activation.housekeeping()")
    assert scheduled.value("select cron_runs_removed from class_activation.housekeeping()") == 1


def test_four_serializable_callers_at_once_do_the_work_and_none_half_of_it(db: Database) -> None:
    facility = db.facility()
    with ThreadPoolExecutor(4) as threads:
        for _ in range(5):
            classes = [db.class_(facility) for _ in range(20)]
            enrollments = [db.enrollment(class_id) for class_id in classes for _ in range(2)]
            gate = Barrier(4)

            def call(gate: Barrier = gate) -> int | None:
                session = db.connect()
                session.execute("set default_transaction_isolation = serializable")
                gate.wait()
                try:
                    return len(session.execute("select * from class_activation." + JOB).fetchall())
                except psycopg.errors.SerializationFailure:
                    return None

            found = [call.result() for call in [threads.submit(call) for _ in range(4)]]

            # one that must give up had locked some, which the others have skipped
            assert sum(filter(None, found)) > 0, found
            db.run(AS_OF)
            assert {db.status(class_id) for class_id in classes} == {"Active"}
            assert None not in [db.enrolled_at(enrollment) for enrollment in enrollments]
            assert db.rows("select * from class_activation.problems") == []
    assert (
        db.value(
            "select max(n) from (select count(*) n from class_activation.activations group by class_id) s"
        )
        == 1
    )


def test_a_serializable_caller_beside_an_editor_leaves_nothing_half(db: Database) -> None:
    """What was changed after the caller's snapshot is left to the next run."""
    facility = db.facility()
    edited, other = db.class_(facility), db.class_(facility)
    late = db.enrollment(edited)
    session = db.connect(autocommit=False)
    session.execute("set transaction isolation level serializable")
    session.execute(f"select count(*) from {db.classes}")
    db.execute("update public.program_class_enrollments set change_reason = 'x', updated_at = now()")
    db.enrollment(other)

    assert [row.class_id for row in session.execute("select * from class_activation." + JOB)] == [other]
    session.commit()

    assert (db.status(edited), db.enrolled_at(late)) == ("Scheduled", None)
    assert [row.class_id for row in db.run(AS_OF)] == [edited]
    assert db.value("select count(*) from public.program_class_enrollments where enrolled_at is null") == 0


@pytest.mark.parametrize(
    "setting", ["row_security = off", "lock_timeout = '1ms'", "client_min_messages = error"]
)
def test_settings_of_the_owner_do_not_undo_a_run(scheduled: Database, setting: str) -> None:
    class_id = scheduled.class_()
    session = scheduled.connect()
    session.execute(f"set {setting}")

    session.execute(COMMAND)
    session.execute("select class_activation.housekeeping()")

    assert scheduled.status(class_id) == "Active"
    assert session.execute("select job_active from class_activation.health()").fetchone() == (True,)
