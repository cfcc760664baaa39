"""What a DBA looks at and takes back: preview, health, revert, and what the job cuts by itself."""

from datetime import datetime, timedelta, timezone

import psycopg
import pytest
from harness import BATCH_USER, COMMAND, Database, deploy, posix_zone

AS_OF = "2026-03-02 12:00Z"


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
    db.execute("alter table public.program_classes add constraint c check (status <> 'Active') not valid")
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
    db.execute(
        "insert into public.program_classes"
        " (program_id, facility_id, start_dt, status, archived_at, deleted_at)"
        " select 1, 1 + floor(random() * 9), date '2026-03-08' + floor(random() * 7 - 3)::int,"
        " (enum_range(null::public.class_status))[1 + floor(random() * 1.3)],"
        " case when random() < 0.1 then now() end, case when random() < 0.1 then now() end"
        " from generate_series(1, 400)"
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
    row = db.row("select * from public.program_classes where id = %s", classes[0])
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
        "update public.program_classes set status = 'Paused'",
        "update public.program_classes set capacity = 9, updated_at = now()",
        "update public.program_classes set update_user_id = 7",
        "update public.program_classes set archived_at = now()",
        "update public.program_classes set deleted_at = now()",
    ],
)
def test_revert_leaves_a_class_that_somebody_has_changed_since(db: Database, change: str) -> None:
    class_id = db.class_()
    enrollment = db.enrollment(class_id)
    db.run(AS_OF)
    run = db.last_run()
    db.execute(change)

    assert outcomes(db, run.id) == {class_id: ("changed since", 0)}
    assert db.enrolled_at(enrollment) is not None


def test_revert_leaves_enrollments_that_somebody_has_changed_since(db: Database) -> None:
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
    # even by somebody who does not keep updated_at
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
    editor.execute("select from public.program_classes where id = %s for update", [held])

    assert outcomes(db, db.last_run().id) == {held: ("locked", 0), free: ("reverted", 0)}
    editor.rollback()
    assert db.status(held) == "Active"


def test_a_class_taken_back_is_not_activated_again(db: Database) -> None:
    class_id = db.class_()
    db.run(AS_OF)
    revert(db, db.last_run().id)
    db.execute("update public.program_classes set capacity = 9, updated_at = now()")

    assert db.run() == []
    row = preview(db)[class_id]
    assert not row.due
    assert f"select class_activation.release({class_id})" in row.problem
    assert health(db).overdue_classes == 0
    assert db.rows("select * from class_activation.problems") == []


@pytest.mark.parametrize(
    "decision",
    [
        ["update public.program_classes set start_dt = '2026-03-05'"],
        [
            "update public.program_classes set start_dt = '2026-03-05'",
            "update public.program_classes set start_dt = '2026-03-02'",
        ],
        [
            "update public.program_classes set status = 'Cancelled'",
            "update public.program_classes set status = 'Scheduled'",
        ],
        ["select class_activation.release(id) from public.program_classes"],
        # without a trace in the history
        [
            "set session_replication_role = replica",
            "update public.program_classes set start_dt = '2026-03-05'",
        ],
        [
            "truncate public.program_classes_history",
            "update public.program_classes set start_dt = '2026-03-05'",
            "truncate public.program_classes_history",
        ],
    ],
)
def test_until_somebody_decides_anew(db: Database, decision: list[str]) -> None:
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
    db.execute("update public.program_classes set status = 'Active'")
    late = db.enrollment(class_id)

    db.run()

    assert db.enrolled_at(late) is None


@pytest.mark.parametrize("run_id", [None, 999])
def test_revert_refuses_a_run_that_is_not_there(db: Database, run_id: int | None) -> None:
    with pytest.raises(psycopg.errors.NoDataFound, match="no run") as error:
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
    facility, program = db.facility(), db.program()
    db.execute(
        "insert into public.program_classes (program_id, facility_id, start_dt, status)"
        " select %s, %s, '2026-02-01', 'Scheduled' from generate_series(1, 5500)",
        program,
        facility,
    )
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
