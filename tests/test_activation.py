"""A run: which classes it activates, the rows that it writes and records, and the errors that it raises."""

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import psycopg
import pytest
from harness import BATCH_USER, Database, posix_zone

AS_OF = "2026-03-02 12:00Z"
INSTANT = datetime(2026, 3, 2, 12, tzinfo=UTC)


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


def test_a_run_writes_the_columns_that_the_application_would_write(db: Database) -> None:
    class_id = db.class_(capacity=12, description="d", credit_hours=3, end_dt="2026-06-01", create_user_id=7)
    enrollment = db.enrollment(class_id, change_reason="r")

    def stored() -> list[dict[str, object]]:
        rows = {db.label: class_id, "program_class_enrollments": enrollment}
        return [
            db.row(f"select * from public.{name} where id = {id_}")._asdict() for name, id_ in rows.items()
        ]

    class_before, enrollment_before = stored()
    with db.connection.transaction():
        written = {"updated_at": db.value("select now()"), "update_user_id": BATCH_USER}
        db.run(AS_OF)
    db.run(AS_OF)

    assert stored() == [
        {**class_before, **written, "status": "Active"},
        {**enrollment_before, **written, "enrolled_at": INSTANT},
    ]
    # each class is written once
    history = db.row("select * from public.program_classes_history")
    assert history.parent_ref_id == class_id
    assert (history.before_update["status"], history.after_update["status"]) == ("Scheduled", "Active")


def test_an_enrollment_that_is_not_pending_stays_as_it_is(db: Database) -> None:
    class_id = db.class_()
    for columns in (
        {"enrollment_status": "Cancelled"},
        {"enrollment_status": "Completed"},
        {"enrollment_status": "Incomplete: Withdrawn"},
        {"enrollment_status": "Incomplete: Transfered"},
        {"enrollment_status": "enrolled"},
        {"enrollment_status": None},
        {"enrolled_at": "2026-01-05 09:00Z"},
        {"deleted_at": "2026-01-05 09:00Z"},
    ):
        db.enrollment(class_id, **columns)
    enrollments = "select * from public.program_class_enrollments order by id"
    before = db.rows(enrollments)

    (activated,) = db.run(AS_OF)
    # nor is it a late one
    db.run(AS_OF)

    assert (activated.enrollments_backfilled, db.last_run().enrollments_backfilled) == (0, 0)
    assert db.rows(enrollments) == before


def test_a_run_returns_each_class_earliest_due_first(db: Database) -> None:
    chicago, denver = db.facility("America/Chicago"), db.facility("America/Denver")
    later = db.class_(denver, "2026-03-02", name="Welding")
    earlier = db.class_(chicago, "2026-03-02", name="Reading")
    for _ in range(3):
        db.enrollment(later)

    rows = db.run("2026-03-02 12:00Z", "05:00")

    assert [row._asdict() for row in rows] == [
        {
            "class_id": class_id,
            "facility_id": facility,
            "class_name": name,
            "start_dt": datetime(2026, 3, 2).date(),
            "due_at": due_at,
            "enrollments_backfilled": enrollments,
        }
        for class_id, facility, name, due_at, enrollments in [
            (earlier, chicago, "Reading", INSTANT - timedelta(hours=1), 0),
            (later, denver, "Welding", INSTANT, 3),
        ]
    ]
    assert db.run("2026-03-02 12:00Z", "05:00") == []


def test_max_classes_takes_the_earliest_due(db: Database) -> None:
    facility = db.facility()
    third, first, second = (db.class_(facility, day) for day in ("2026-02-03", "2026-02-01", "2026-02-02"))

    assert [row.class_id for row in db.run(AS_OF, max_classes=2)] == [first, second]
    assert db.status(third) == "Scheduled"
    assert [row.class_id for row in db.run(AS_OF, max_classes=2)] == [third]
    arrays = "select distinct enrollment_ids, enrolled_at_values from class_activation.activations"
    assert db.rows(arrays) == [([], [])]


def test_a_run_and_its_activations_are_recorded(db: Database) -> None:
    class_id = db.class_()
    enrollment = db.enrollment(class_id)
    with db.connection.transaction():
        now = db.value("select now()")
        (activated,) = db.run(AS_OF, "05:00")

    run = db.row("select * from class_activation.runs")
    assert run.started_at <= run.finished_at
    assert (run.as_of, str(run.not_before)) == (INSTANT, "05:00:00")
    assert run.called_by == db.value("select session_user")
    assert (run.classes_activated, run.enrollments_backfilled) == (1, 1)
    assert (run.classes_failed, run.classes_skipped) == (0, 0)
    assert db.row("select * from class_activation.activations")._asdict() == {
        "run_id": run.id,
        "class_id": class_id,
        "facility_id": activated.facility_id,
        "due_at": activated.due_at,
        "activated_at": now,
        "enrollments_backfilled": 1,
        "reverted_by": None,
        "enrollment_ids": [enrollment],
        "enrolled_at_values": [INSTANT],
        "updated_at_values": [now],
        "update_user_ids": [BATCH_USER],
    }


def test_only_a_run_that_did_something_notifies(db: Database) -> None:
    listener = db.connect()
    listener.execute("listen class_activation")
    class_id = db.class_()
    db.enrollment(class_id)

    db.run()
    # an idle run is recorded too
    db.run()

    assert db.rows("select classes_activated from class_activation.runs order by id") == [(1,), (0,)]
    (notification,) = listener.notifies(timeout=1)
    assert json.loads(notification.payload) == {
        "run_id": db.value("select min(id) from class_activation.runs"),
        "classes_activated": 1,
        "enrollments_backfilled": 1,
        "classes_failed": 0,
    }


def test_a_late_enrollment_from_before_an_outage_is_backfilled_after_it(db: Database) -> None:
    class_id = db.class_()
    db.run(AS_OF)
    late = db.enrollment(class_id)
    for change in ("activations set activated_at = activated_at", "runs set started_at = started_at"):
        db.execute(f"update class_activation.{change} - interval '3 days'")
    # three calls since then: the current one does not count
    db.execute("insert into class_activation.ticks select now() - i from unnest('{1h,2h,3h}'::interval[]) i")

    db.execute("select class_activation.tick()")

    assert db.enrolled_at(late) is not None
    assert db.last_run().enrollments_backfilled == 1


def test_an_activation_in_the_same_transaction_has_no_late_enrollments_yet(db: Database) -> None:
    class_id = db.class_()
    late = "select class_activation_internal.late_enrollment_classes(%s)"
    with db.connection.transaction():
        db.run(AS_OF)
        db.enrollment(class_id)
        assert (db.value(late, []), db.value(late, [class_id])) == ([], [])
    assert (db.value(late, []), db.value(late, [class_id])) == ([class_id], [class_id])


def test_no_other_active_class_is_ever_touched(db: Database) -> None:
    changes = (
        "update class_activation.activations set activated_at = now() - interval '24 hours' where class_id",
        "update {classes} set status = 'Paused' where id",
        "update {classes} set archived_at = now() where id",
        "update {classes} set deleted_at = now() where id",
        # Active, but not activated by the job
        "delete from class_activation.activations where class_id",
    )
    classes = [db.class_() for _ in changes]
    db.run(AS_OF)
    late = [db.enrollment(class_id) for class_id in classes]
    for change, class_id in zip(changes, classes, strict=True):
        db.execute(f"{change} = {class_id}")
    # an outage before the last four calls no longer extends the 24 hours
    db.execute("update class_activation.runs set started_at = now() - interval '3 days'")
    db.execute(
        "insert into class_activation.runs (started_at, as_of, not_before, called_by)"
        " select now() - i, now(), '05:00', user from unnest('{1m,2m,3m,4m}'::interval[]) i;"
        "insert into class_activation.ticks select now() - i from unnest('{5d,6d,7d,8d}'::interval[]) i"
    )

    db.run()

    assert [db.enrolled_at(enrollment) for enrollment in late] == [None] * len(late)
    assert db.last_run().classes_skipped == 0


def test_history_shows_each_activation_since_a_time(db: Database) -> None:
    class_id = db.class_(db.facility("America/Denver", name="Pueblo"), name="Welding")
    db.enrollment(class_id)
    db.class_(db.facility("America/Chicago"), "2026-03-01")
    db.run()
    first, row = db.call("history")
    assert first.class_id != class_id
    assert (row.class_id, row.class_name, row.facility_name) == (class_id, "Welding", "Pueblo")
    assert (row.enrollments_backfilled, row.run_id, row.reverted) == (1, db.last_run().id, False)
    assert row.late == row.activated_at - datetime(2026, 3, 2, 12, tzinfo=UTC)
    assert row.local_time == row.activated_at.astimezone(ZoneInfo("America/Denver")).replace(tzinfo=None)
    assert len(db.call("history", row.activated_at)) == 2
    assert db.call("history", row.activated_at + timedelta(microseconds=1)) == []

    db.execute("update public.facilities set timezone = 'Mars/Phobos'")
    db.execute("delete from class_activation.runs")
    assert {(row.local_time, row.called_by) for row in db.call("history")} == {(None, None)}
    db.execute("truncate {classes}, public.facilities cascade")
    assert [row.class_name for row in db.call("history")] == [None, None]


def test_an_invalid_argument_is_rejected_with_its_value_and_a_hint(db: Database) -> None:
    class_id = db.class_()

    for name, argument, value in (
        ("p_as_of", "null", "null"),
        ("p_as_of", "'infinity'", "infinity"),
        ("p_as_of", "'2999-01-01 00:00Z'", "2999-01-01 00:00:00"),
        ("p_max_classes", "0", "0"),
        ("p_max_classes", "-5", "-5"),
    ):
        with pytest.raises(psycopg.errors.InvalidParameterValue) as error:
            db.execute(f"select public.activate_scheduled_classes({name} => {argument})")
        assert value in error.value.diag.message_primary
        assert name in error.value.diag.message_hint

    assert db.status(class_id) == "Scheduled"
    assert db.rows("select * from class_activation.runs") == []


@pytest.mark.parametrize("absence", ["username = 'somebody_else'", "deleted_at = now()"])
def test_a_run_without_the_batch_user_fails_and_the_hint_restores_it(db: Database, absence: str) -> None:
    class_id = db.class_()
    db.execute(f"update public.users set {absence} where id = {BATCH_USER}")

    with pytest.raises(psycopg.errors.NoDataFound, match="system_batch") as error:
        db.run(AS_OF)

    assert db.status(class_id) == "Scheduled"
    db.execute(error.value.diag.message_hint.partition(": ")[2])
    db.run(AS_OF)
    author = db.value("select update_user_id from {classes} where id = %s", class_id)
    assert author == db.value(
        "select max(id) from public.users where username = 'system_batch' and deleted_at is null"
    )


def test_the_oldest_of_several_batch_users_is_the_author(db: Database) -> None:
    columns = {"username": "system_batch", "name_first": "", "name_last": "", "email": "", "role": "student"}
    oldest = db.insert("users", id=3, **columns)
    db.insert("users", id=2, deleted_at="2026-01-01 00:00Z", **columns)
    class_id = db.class_()

    db.run(AS_OF)

    assert db.value("select update_user_id from {classes} where id = %s", class_id) == oldest


def test_a_backlog_is_activated_in_one_call_that_reports_its_progress(db: Database) -> None:
    db.due_classes(6700)
    said: list[str] = []
    db.connection.add_notice_handler(lambda diagnostic: said.append(diagnostic.message_primary))

    assert len(db.run(AS_OF, max_classes=5200)) == 5200
    assert said == [f"{min(done, 5200)} of 5200 classes activated" for done in range(1000, 7000, 1000)]
    said.clear()
    assert len(db.run(AS_OF)) == 1500
    assert said == []
    assert db.value("select count(*) from public.program_classes_history") == 6700


@pytest.mark.parametrize("statistics", ["with", "without"])
def test_a_run_reads_only_due_classes(db: Database, statistics: str) -> None:
    # half of all classes are Scheduled, all for later: the planner would rather read everything
    db.due_classes(
        20000,
        description="repeat('x', 200)",
        start_dt="date '2020-01-01' + i % 2000 + case when i % 2 = 0 then 8000 else 0 end",
        status="(case when i % 2 = 0 then 'Scheduled' else 'Completed' end)::public.class_status",
    )
    due = [db.class_() for _ in range(3)]
    for _ in range(2):
        db.enrollment(due[2])
    db.execute(
        f"insert into public.program_class_enrollments"
        f" ({db.class_key}, user_id, enrollment_status{', class_id' if db.cohorts else ''})"
        f" select c.id, {db.resident()}, 'Completed'{', c.class_id' if db.cohorts else ''}"
        f" from {{classes}} c where c.status = 'Completed'"
    )
    db.enrollment(due[0])
    if statistics == "with":
        db.execute("vacuum analyze")

    # a new session, because the counters of a session include its unreported reads
    db.connection = db.connect()
    with db.connection.transaction():
        assert len(db.run(AS_OF)) == 3
        read = db.row(
            """
            select
              -- not the tier of the classes, which is small here and read for the names only
              sum(pg_stat_get_xact_tuples_returned(oid)) filter (
                where relkind = 'r' and (relname <> 'program_classes' or %s)
              )::int as by_table,
              sum(pg_stat_get_xact_tuples_returned(oid)) filter (where relkind = 'i')::int as by_index
            from pg_class
            where relnamespace = 'public'::regnamespace
              and relname ~ '^(program_class|idx_program_(class|section)|class_activation)'
            """,
            not db.cohorts,
        )

    assert read.by_table == 0
    assert 0 < read.by_index < (100 if db.cohorts else 50)


def test_a_missing_row_of_settings_is_an_error_with_a_fix(db: Database) -> None:
    class_id = db.class_()
    db.execute("truncate class_activation.settings")

    for call in ("activate_scheduled_classes()", "preview()", "health()"):
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="settings has no row") as error:
            db.execute(f"select class_activation.{call}")
    db.execute(error.value.diag.message_hint.partition(": ")[2])
    assert [row.class_id for row in db.run()] == [class_id]


def test_a_past_p_as_of_never_backfills_before_the_activation(db: Database) -> None:
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
    # each at the time of its own class
    assert {class_id: db.enrolled_at(late[class_id]) for class_id in classes} == activated
    assert all(
        row.enrolled_at_values == [activated[row.class_id]]
        for row in db.rows("select * from class_activation.activations")
    )
