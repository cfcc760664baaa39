"""A bad class never stops the others."""

from datetime import UTC, datetime

import psycopg
import pytest
from harness import Database, open_transaction

AS_OF = "2026-03-02 12:00Z"


def reject(db: Database, table: str, class_id: int | str, sqlstate: str = "23514") -> None:
    """Let a trigger of the platform reject every update of a class, or of its enrollments."""
    condition = f"= {class_id}" if isinstance(class_id, int) else class_id
    table, column = (db.label, "id") if table == "classes" else ("program_class_enrollments", db.class_key)
    db.execute(
        f"""
        create or replace function public.reject() returns trigger language plpgsql as $$
        begin
          raise exception 'no update of this one' using errcode = '{sqlstate}', hint = 'leave it';
        end $$;
        create trigger reject before update on public.{table}
          for each row when (old.{column} {condition}) execute function public.reject();
        """
    )


@pytest.mark.parametrize("table", ["classes", "enrollments"])
def test_a_rejected_update_fails_only_its_class_until_it_is_fixed(db: Database, table: str) -> None:
    notices: list[tuple[str | None, str | None]] = []
    db.connection.add_notice_handler(lambda said: notices.append((said.severity, said.message_hint)))
    facility = db.facility()
    classes = [db.class_(facility) for _ in range(5)]
    enrollments = {class_id: db.enrollment(class_id) for class_id in classes}
    bad = classes[2]
    reject(db, table, bad)

    # a class that fails does not count towards the maximum
    activated = db.run(AS_OF, max_classes=4)

    assert [row.class_id for row in activated] == [class_id for class_id in classes if class_id != bad]
    assert db.status(bad) == "Scheduled"
    assert [class_id for class_id in classes if db.enrolled_at(enrollments[class_id]) is None] == [bad]
    first = db.row("select * from class_activation.problems")
    assert (first.class_id, first.facility_id) == (bad, facility)
    assert (first.sqlstate, first.attempts) == ("23514", 1)
    assert first.message == "no update of this one; leave it"
    assert (db.last_run().classes_activated, db.last_run().classes_failed) == (4, 1)
    assert notices == [("WARNING", "select * from class_activation.problems shows why and what to do.")]

    db.run(AS_OF)
    second = db.row("select * from class_activation.problems")
    assert (second.attempts, second.first_seen_at) == (2, first.first_seen_at)
    assert second.last_seen_at > first.last_seen_at

    db.execute("drop function public.reject() cascade")
    assert [row.class_id for row in db.run(AS_OF)] == [bad]
    assert db.rows("select * from class_activation.problems") == []


def test_a_problem_is_removed_once_its_class_is_no_longer_due(db: Database) -> None:
    solutions = (
        "update {classes} set start_dt = '2026-04-01' where id",
        "update {classes} set status = 'Cancelled' where id",
        "update {classes} set deleted_at = now() where id",
        "update public.facilities f set deleted_at = now() from {classes} c where f.id = facility_id"
        " and c.id",
        "delete from {classes} where id",
    )
    classes = [db.class_(db.facility("Mars/Phobos")) for _ in solutions]
    db.run(AS_OF)
    assert db.value("select count(*) from class_activation.problems") == len(classes)

    for solution, class_id in zip(solutions, classes, strict=True):
        db.execute(f"{solution} = {class_id}")
    db.run("2026-03-03 12:00Z")

    assert db.rows("select * from class_activation.problems") == []


def test_an_unknown_zone_fails_only_its_own_classes(db: Database) -> None:
    db.execute("alter table public.facilities alter timezone drop not null")
    zones = ("Mars/Phobos", "", " ", "America/Chicago ", None)
    lost = {db.class_(db.facility(zone)): zone for zone in zones}
    found = db.class_(db.facility("America/Chicago"))
    # not before the class could start in any zone
    db.class_(db.facility("Mars/Deimos"), "2026-03-03")

    shown = db.preview(AS_OF)
    assert [shown[class_id][6:8] for class_id in lost] == [(None, False)] * len(lost)
    assert shown[found].due
    assert (db.health().overdue_classes, db.health().unknown_timezones) == (1, len(lost) + 1)
    (doctor,) = db.rows("select * from class_activation.doctor() where check_name = 'timezones'")
    assert "null at facility" in doctor.detail
    assert doctor.fix.count("-- set facilities.timezone") == 1

    assert [row.class_id for row in db.run(AS_OF)] == [found]
    problems = {row.class_id: row for row in db.rows("select * from class_activation.problems")}
    assert problems.keys() == lost.keys()
    for class_id, zone in lost.items():
        assert problems[class_id].sqlstate == "22023"
        assert ("time zone is null" if zone is None else zone) in problems[class_id].message
        assert "set facilities.timezone to a name from pg_timezone_names" in problems[class_id].message
        assert shown[class_id].problem == problems[class_id].message
        assert db.status(class_id) == "Scheduled"
    assert db.last_run().classes_failed == len(lost)


def test_a_failed_late_enrollment_is_backfilled_once_it_is_fixed_days_later(db: Database) -> None:
    class_id = db.class_()
    db.run(AS_OF)
    late = db.enrollment(class_id)
    reject(db, "enrollments", class_id)
    db.run(AS_OF)
    for table, column in (("activations", "activated_at"), ("runs", "started_at")):
        db.execute(f"update class_activation.{table} set {column} = {column} - interval '60 days'")

    # a class that moves takes its problem with it
    facility = db.facility()
    db.execute("update public.program_classes set facility_id = %s", facility)
    db.run(AS_OF)
    problem = db.row("select class_id, facility_id, attempts from class_activation.problems")
    assert problem == (class_id, facility, 2)
    assert db.health().status == "warning"

    db.execute("drop trigger reject on public.program_class_enrollments")
    db.run()
    assert db.enrolled_at(late) is not None
    assert db.rows("select * from class_activation.problems") == []
    assert db.last_run().enrollments_backfilled == 1


def test_a_problem_is_removed_once_its_late_enrollment_is_no_longer_pending(db: Database) -> None:
    solutions = (
        "update public.program_class_enrollments set enrollment_status = 'Incomplete: Withdrawn' where {key}",
        "update public.program_class_enrollments set deleted_at = now() where {key}",
        "update public.program_class_enrollments set enrolled_at = now() where {key}",
        "delete from public.program_class_enrollments where {key}",
        "update {classes} set status = 'Completed' where id",
    )
    classes = [db.class_() for _ in solutions]
    db.run(AS_OF)
    for class_id in classes:
        db.enrollment(class_id)
    reject(db, "enrollments", "> 0")
    db.run(AS_OF)
    db.execute("update class_activation.activations set activated_at = activated_at - interval '60 days'")
    assert db.value("select count(*) from class_activation.problems") == len(classes)

    db.execute("drop trigger reject on public.program_class_enrollments")
    for solution, class_id in zip(solutions, classes, strict=True):
        db.execute(solution.replace("{key}", db.class_key) + f" = {class_id}")
    db.run(AS_OF)

    assert db.last_run().enrollments_backfilled == 0
    assert db.rows("select * from class_activation.problems") == []


# errors of a trigger that are the problem of its class
FAILURES = {
    "P0004": "assert false, 'nothing is well';",
    "P0001": "raise exception 'no';",
    "22012": "perform 1 / 0;",
    "42P01": "perform * from no_such_table;",
    "54001": "raise exception 'too deep' using errcode = '54001';",
    "25006": "raise exception 'read only' using errcode = '25006';",
    "08006": "raise exception 'the other server is gone' using errcode = '08006';",
    "AB123": "raise exception 'of the platform' using errcode = 'AB123';",
    "02000": "raise exception 'a warning by its class' using errcode = '02000';",
}


@pytest.mark.parametrize("step", ["activate", "backfill"])
def test_a_failing_trigger_affects_only_its_class(db: Database, step: str) -> None:
    facility = db.facility()
    good, last = db.class_(facility), db.class_(facility)
    bad = {db.class_(facility): sqlstate for sqlstate in FAILURES}
    if step == "backfill":
        db.run(AS_OF)
    enrollments = {class_id: db.enrollment(class_id) for class_id in (good, *bad, last)}
    for class_id, sqlstate in bad.items():
        db.execute(
            f"""
            create function public.fail_{class_id}() returns trigger language plpgsql as
              $$ begin {FAILURES[sqlstate]} return new; end $$;
            create trigger fail_{class_id} before update on public.program_class_enrollments
              for each row when (old.{db.class_key} = {class_id})
              execute function public.fail_{class_id}();
            """
        )

    activated = {row.class_id for row in db.run(AS_OF)}

    assert activated == ({good, last} if step == "activate" else set())
    assert {class_id for class_id, at in enrollments.items() if db.enrolled_at(at) is None} == bad.keys()
    assert dict(db.rows("select class_id, sqlstate from class_activation.problems")) == bad


def test_children_that_repeat_the_ids_of_their_tables_change_nothing(db: Database) -> None:
    good, lost = db.class_(), db.class_(db.facility("Mars/Phobos"))
    enrollment = db.enrollment(good)
    for table in (db.classes, "public.facilities", "public.program_class_enrollments"):
        db.execute(
            f"create table {table}_child (like {table} including defaults);"
            f"insert into {table}_child select * from only {table};"
            f"alter table {table}_child inherit {table}"
        )

    for _ in range(2):
        db.run(AS_OF)
    assert db.value(f"select status from only {db.classes} where id = {good}") == "Active"
    enrolled_at = f"select enrolled_at from only public.program_class_enrollments where id = {enrollment}"
    assert db.value(enrolled_at) is not None
    assert db.rows("select class_id from class_activation.problems") == [(lost,)]
    assert len(db.call("preview")) == 1


# of the server, or of an object that a trigger of one class uses, such as a foreign table
SERVER_ERRORS = ["53000", "53400", "57000", "57P01", "57P03", "58030", "58P01", "XX000", "XX001"]


@pytest.mark.parametrize("step", ["activate", "backfill"])
@pytest.mark.parametrize("first", [True, False])
def test_a_server_error_of_a_few_classes_is_their_problem(db: Database, step: str, first: bool) -> None:
    facility = db.facility()
    classes = [db.class_(facility) for _ in range(7)]
    bad = classes[:3] if first else classes[-3:]
    if step == "backfill":
        db.run(AS_OF)
    enrollments = {class_id: db.enrollment(class_id) for class_id in classes}
    for sqlstate in SERVER_ERRORS:
        reject(db, "enrollments", "in " + str(tuple(bad)), sqlstate)
        db.run(AS_OF)
        found = db.rows("select class_id, sqlstate from class_activation.problems order by 1")
        assert found == [(class_id, sqlstate) for class_id in bad]
        assert [c for c in classes if db.enrolled_at(enrollments[c]) is None] == bad
        db.execute("drop trigger reject on public.program_class_enrollments")

    db.run(AS_OF)
    assert db.rows("select * from class_activation.problems") == []


@pytest.mark.parametrize("sqlstate", ["58030", "55P03"])
def test_a_few_bad_classes_in_a_row_do_not_end_the_run(db: Database, sqlstate: str) -> None:
    facility = db.facility()
    # bad ones, another problem, and good ones; the last class is tried after three bad ones
    classes = {db.class_(facility): kind for kind in ("bad " * 5 + "other bad good bad good").split()}
    bad, other, good = ([c for c in classes if classes[c] == kind] for kind in ("bad", "other", "good"))
    reject(db, "classes", f"in {tuple(bad)}", sqlstate)
    db.execute(f"alter table {{classes}} add check (status <> 'Active' or id <> {other[0]}) not valid")

    assert [row.class_id for row in db.run(AS_OF)] == good

    problems = dict.fromkeys(other, "23514") | dict.fromkeys(bad if sqlstate == "58030" else [], sqlstate)
    assert dict(db.rows("select class_id, sqlstate from class_activation.problems")) == problems
    assert db.last_run().classes_failed + db.last_run().classes_skipped == len(bad + other)


@pytest.mark.parametrize("step", ["activate", "backfill"])
def test_a_server_error_of_all_classes_ends_the_run_after_a_few(db: Database, step: str) -> None:
    facility = db.facility()
    classes = [db.class_(facility) for _ in range(40)]
    if step == "backfill":
        db.run(AS_OF)
    for class_id in classes:
        db.enrollment(class_id)
    before = db.rows("select * from class_activation.runs")
    db.execute("create sequence public.attempts")

    for sqlstate in SERVER_ERRORS:
        reject(db, "enrollments", "> 0 and nextval('public.attempts') > 0", sqlstate)
        with pytest.raises(psycopg.Error, match="no update of this one") as error:
            db.run(AS_OF)
        db.execute("drop trigger reject on public.program_class_enrollments")
        assert error.value.sqlstate == sqlstate
        assert db.rows("select * from class_activation.problems") == []
        assert db.rows("select * from class_activation.runs") == before
    assert db.value("select last_value from public.attempts") < 12 * len(SERVER_ERRORS)


def test_a_cancel_stays_a_cancel(db: Database) -> None:
    class_id = db.class_()
    reject(db, "classes", class_id, "57014")
    with pytest.raises(psycopg.errors.QueryCanceled):
        db.run(AS_OF)
    assert db.rows("select * from class_activation.problems") == []


@pytest.mark.parametrize("table", ["change_log_entries", "program_class_enrollments"])
def test_a_lock_that_blocks_all_classes_ends_the_run_after_a_few(db: Database, table: str) -> None:
    db.due_classes(600)
    with open_transaction(db, f"lock table public.{table} in exclusive mode"):
        db.run(AS_OF)
    assert (db.last_run().classes_skipped, db.last_run().classes_failed) == (600, 0)
    # a failed attempt uses up an id of the history
    wasted = db.value(
        "select last_value from pg_sequences where sequencename ~ 'classes_history_id|sections_history_id'"
    )
    assert (wasted or 0) < 6 * 600

    db.run(AS_OF)
    assert db.value("select count(*) from {classes} where status = 'Scheduled'") == 0


# start dates that no timestamp can hold
IMPOSSIBLE_PAST = ["-infinity", "4714-11-24 BC", "4714-12-31 BC"]
IMPOSSIBLE_FUTURE = ["294276-01-01", "294277-01-01", "300000-01-01", "5874897-12-31", "infinity"]


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Chicago", "Mars/Phobos"])
def test_an_impossible_date_fails_only_its_class(db: Database, zone: str) -> None:
    facility, place = db.facility("America/Denver"), db.facility(zone)
    due, later = db.class_(facility, "2026-03-02"), db.class_(facility, "2999-01-02")
    past = [db.class_(place, start_dt) for start_dt in IMPOSSIBLE_PAST]
    bad = past + [db.class_(place, start_dt) for start_dt in IMPOSSIBLE_FUTURE]
    wrong, sqlstate = f"correct {db.label}.start_dt", "22008"
    if zone == "Mars/Phobos":
        wrong, sqlstate = "set facilities.timezone", "22023"
    soon = datetime(2999, 1, 2, 12, tzinfo=UTC)

    # Python cannot read the dates themselves
    columns = "class_id, due, due_at, problem"
    rows = db.rows(f"select {columns} from class_activation.preview(%s)", AS_OF)
    shown = {row.class_id: row for row in rows}
    assert {class_id for class_id, row in shown.items() if row.due} == {due}
    assert all(shown[class_id].due_at is None and wrong in shown[class_id].problem for class_id in bad)
    assert (shown[due].problem, shown[later].problem, shown[later].due_at) == (None, None, soon)
    assert (db.health().overdue_classes, db.health().next_due_at) == (1, soon)
    doctor = {row.check_name: row for row in db.rows("select * from class_activation.doctor()")}
    assert doctor["overdue_classes"].detail.startswith("1 class has been due")

    for attempt in (1, 2):
        assert [row.class_id for row in db.run(AS_OF)] == ([due] if attempt == 1 else [])
        problems = db.rows("select class_id, sqlstate from class_activation.problems")
        assert dict(problems) == dict.fromkeys(past, sqlstate)
        assert db.last_run().classes_failed == len(past)
    assert db.health().next_due_at == soon
    assert db.value("select count(*) from class_activation.doctor()") == len(doctor)
    # revert reads start dates too
    assert db.rows("select class_id, outcome from class_activation.revert(1)") == [(due, "reverted")]

    db.execute("update {classes} set start_dt = '2026-03-01' where id = any (%s)", bad)
    db.execute("update public.facilities set timezone = 'America/Denver'")
    assert sorted(row.class_id for row in db.run(AS_OF)) == bad
    assert db.rows("select * from class_activation.problems") == []


def test_ancient_dates_are_due_but_the_zero_time_of_go_is_no_date(db: Database) -> None:
    facility = db.facility("Pacific/Kiritimati")
    none = [db.class_(facility, start_dt) for start_dt in ("0001-01-01", "0001-12-31 BC")]
    dates = ("4713-01-02 BC", "0044-03-15 BC", "0001-01-02", "1582-10-10")
    ancient = [db.class_(facility, start_dt) for start_dt in dates]

    shown = db.rows("select class_id, due, problem from class_activation.preview() order by class_id")
    no_date = f"no start date; set {db.label}.start_dt"
    assert shown == [(id_, False, no_date) for id_ in none] + [(id_, True, None) for id_ in ancient]
    assert db.health().overdue_classes == len(ancient)
    assert db.rows("select class_id from public.activate_scheduled_classes()") == [(id_,) for id_ in ancient]
    assert db.last_run().classes_failed == 0


@pytest.mark.parametrize("setting", ["statement_timeout", "transaction_timeout"])
def test_a_backlog_under_a_timeout_is_processed_in_several_calls(db: Database, setting: str) -> None:
    timeouts = "select name from pg_settings where name in ('statement_timeout', 'transaction_timeout')"
    if setting not in (known := [row.name for row in db.rows(timeouts)]):
        pytest.skip(f"this PostgreSQL has no {setting}")
    db.due_classes(1500)
    db.execute(
        """
        create function public.take_time() returns trigger language plpgsql as
          'begin perform pg_sleep(0.001); return new; end';
        create trigger take_time before update on {classes} for each row execute function public.take_time();
        """
    )
    session = db.connect()
    for name in known:
        session.execute(f"set {name} = '{'1500ms' if name == setting else '1h'}'")
    left, calls = "select count(*) from {classes} where status = 'Scheduled'", 0

    while (waiting := db.value(left)) > 0:
        session.execute(f"select class_activation.activate_scheduled_classes('{AS_OF}')")
        calls += 1
        assert db.value(left) < waiting
        assert db.last_run().classes_left == db.value(left)
    assert 1 < calls < 10


def test_failed_classes_are_retried_a_few_at_a_time(db: Database) -> None:
    db.due_classes(300)
    db.execute(
        "alter table {classes} add constraint never"
        " check (status <> 'Active' or capacity is not null) not valid"
    )
    db.run(AS_OF)
    tried = "select count(*) from class_activation.problems where attempts > 1"
    assert db.value("select count(*) from class_activation.problems") == 300
    new = db.class_(capacity=1)

    assert [row.class_id for row in db.run(AS_OF, max_classes=1)] == [new]
    assert (db.value(tried), db.last_run().classes_failed) == (0, 0)
    assert db.run(AS_OF) == []
    assert (db.value(tried), db.last_run().classes_failed) == (50, 50)
    for _ in range(5):
        db.run(AS_OF)
    # the longest untried first: each of them again before any a third time
    assert db.value(tried) == 300

    db.execute("alter table {classes} drop constraint never")
    db.execute(
        "create sequence public.batches; create function public.count() returns trigger language plpgsql"
        " as 'begin perform nextval(''public.batches''); return null; end';"
        "create trigger count after update on {classes} execute function public.count()"
    )
    assert len(db.run(AS_OF)) == 300
    assert db.value("select last_value from public.batches") == 9
    assert db.rows("select * from class_activation.problems") == []


@pytest.mark.parametrize("bad", [[0], [500, 501], [1, 400, 1300]])
def test_a_few_failing_classes_cost_few_attempts(db: Database, bad: list[int]) -> None:
    db.due_classes(1400)
    first = db.value("select min(id) from {classes}")
    ids = ", ".join(str(first + position) for position in bad)
    db.execute(
        f"alter table {{classes}} add constraint never"
        f" check (status <> 'Active' or id not in ({ids})) not valid"
    )

    assert len(db.run(AS_OF)) == 1400 - len(bad)

    # a failed attempt uses up an id of the history
    wasted = db.value("select max(id) - count(*) from public.program_classes_history")
    assert wasted < 2 * 1400 * len(bad)


def test_many_classes_in_an_unknown_zone_are_recorded_over_several_runs(db: Database) -> None:
    db.due_classes(700)
    db.execute("update public.facilities set timezone = 'Mars/Phobos'")
    recorded = "select count(*) from class_activation.problems"

    for expected in (300, 600, 700):
        db.run(AS_OF)
        assert db.value(recorded) == expected
        assert db.last_run().classes_failed == 700
        assert db.health().problem_classes == 700

    # recorded problems are not written again
    versions = "select string_agg(concat(ctid, xmin), ' ' order by class_id) from class_activation.problems"
    before = db.value(versions)
    db.run(AS_OF)
    assert db.value(versions) == before
