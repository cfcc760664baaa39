"""One bad class never stops the others."""

from datetime import UTC, datetime

import psycopg
import pytest
from harness import OFF, Database, deploy, own_platform

AS_OF = "2026-03-02 12:00Z"
JOB = f"activate_scheduled_classes('{AS_OF}')"


def reject(db: Database, table: str, class_id: int | str, sqlstate: str = "23514") -> None:
    """Let a trigger of the platform refuse every update of one class or of its enrollments."""
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


@pytest.fixture
def notices(db: Database) -> list[tuple[str | None, str | None]]:
    """Severity and hint of what the server says beside the result."""
    received: list[tuple[str | None, str | None]] = []
    db.connection.add_notice_handler(lambda said: received.append((said.severity, said.message_hint)))
    return received


@pytest.mark.parametrize("table", ["classes", "enrollments"])
def test_a_class_that_cannot_be_updated_is_recorded_and_all_others_go_on(
    db: Database, table: str, notices: list[tuple[str | None, str | None]]
) -> None:
    facility = db.facility()
    classes = [db.class_(facility) for _ in range(5)]
    enrollments = {class_id: db.enrollment(class_id) for class_id in classes}
    bad = classes[2]
    reject(db, table, bad)

    activated = db.run(AS_OF)

    assert [row.class_id for row in activated] == [class_id for class_id in classes if class_id != bad]
    assert db.status(bad) == "Scheduled"
    assert [class_id for class_id in classes if db.enrolled_at(enrollments[class_id]) is None] == [bad]
    problem = db.row("select * from class_activation.problems")
    assert (problem.class_id, problem.facility_id) == (bad, facility)
    assert (problem.sqlstate, problem.attempts) == ("23514", 1)
    assert problem.message == "no update of this one; leave it"
    assert (db.last_run().classes_activated, db.last_run().classes_failed) == (4, 1)
    assert notices == [("WARNING", "select * from class_activation.problems shows why and what to do.")]


def test_a_check_that_is_deferred_until_commit_stops_no_other_class(db: Database) -> None:
    good, bad = db.class_(), db.class_()
    reject(db, "classes", bad)
    db.execute(
        f"""
        drop trigger reject on {db.classes};
        create constraint trigger reject after update on {db.classes}
          initially deferred for each row when (old.id = {bad}) execute function public.reject();
        """
    )

    db.run(AS_OF)

    assert (db.status(good), db.status(bad)) == ("Active", "Scheduled")
    assert db.row("select class_id, sqlstate from class_activation.problems") == (bad, "23514")


def test_a_problem_counts_its_attempts_and_is_gone_once_the_class_is_activated(db: Database) -> None:
    bad = db.class_()
    reject(db, "classes", bad)
    db.run(AS_OF)
    first = db.row("select * from class_activation.problems")
    db.run(AS_OF)

    second = db.row("select * from class_activation.problems")
    assert (second.attempts, second.first_seen_at) == (2, first.first_seen_at)
    assert second.last_seen_at > first.last_seen_at

    db.execute("drop trigger reject on {classes}")
    assert [row.class_id for row in db.run(AS_OF)] == [bad]
    assert db.rows("select * from class_activation.problems") == []


@pytest.mark.parametrize(
    "solution",
    [
        "update {classes} set start_dt = '2026-04-01'",
        "update {classes} set status = 'Cancelled'",
        "update {classes} set deleted_at = now()",
        "update public.facilities set deleted_at = now()",
        "delete from {classes}",
    ],
)
def test_a_problem_is_gone_once_the_class_is_no_longer_due(db: Database, solution: str) -> None:
    db.class_(db.facility("Mars/Phobos"))
    db.run(AS_OF)
    assert db.value("select count(*) from class_activation.problems") == 1

    db.execute(solution)
    db.run("2026-03-03 12:00Z")

    assert db.rows("select * from class_activation.problems") == []


@pytest.mark.parametrize("timezone", ["Mars/Phobos", "", " ", "America/Chicago ", None])
def test_a_zone_that_the_server_does_not_know_leaves_only_its_own_classes_behind(
    db: Database, timezone: str | None
) -> None:
    db.execute("alter table public.facilities alter timezone drop not null")
    lost = db.class_(db.facility(timezone))
    found = db.class_(db.facility("America/Chicago"))

    assert [row.class_id for row in db.run(AS_OF)] == [found]

    problem = db.row("select * from class_activation.problems")
    assert (problem.class_id, problem.sqlstate) == (lost, "22023")
    assert (timezone or "") in problem.message
    assert "set facilities.timezone to a name from pg_timezone_names" in problem.message
    assert db.status(lost) == "Scheduled"
    assert db.last_run().classes_failed == 1


def test_a_zone_that_was_corrected_activates_its_classes(db: Database) -> None:
    lost = db.class_(db.facility("Mars/Phobos"))
    db.run(AS_OF)

    db.execute("update public.facilities set timezone = 'America/Denver'")

    assert [row.class_id for row in db.run(AS_OF)] == [lost]
    assert db.rows("select * from class_activation.problems") == []


def test_an_unknown_zone_is_no_problem_before_the_class_could_start_anywhere(db: Database) -> None:
    db.class_(db.facility("Mars/Phobos"), "2026-03-04")

    db.run(AS_OF)

    assert db.rows("select * from class_activation.problems") == []


def test_a_date_out_of_range_is_recorded_and_all_others_go_on(db: Database) -> None:
    impossible = db.class_(db.facility("Asia/Tokyo"), "4714-11-24 BC")
    found = db.class_(start_dt="0001-01-02")

    assert [row.class_id for row in db.run(AS_OF)] == [found]
    problem = db.row("select * from class_activation.problems")
    assert (problem.class_id, problem.sqlstate) == (impossible, "22008")
    assert f"correct {db.label}.start_dt" in problem.message


def test_bad_classes_do_not_use_up_max_classes(db: Database) -> None:
    facility = db.facility()
    bad = db.class_(facility, "2026-02-01")
    good = db.class_(facility, "2026-02-02")
    reject(db, "classes", bad)

    assert [row.class_id for row in db.run(AS_OF, max_classes=1)] == [good]


def test_an_update_that_a_trigger_swallows_is_a_failure_and_no_half_activation(db: Database) -> None:
    class_id = db.class_()
    enrollment = db.enrollment(class_id)
    db.execute(
        "create function public.swallow() returns trigger language plpgsql as 'begin return null; end';"
        "create trigger swallow before update on {classes}"
        " for each row execute function public.swallow()"
    )

    assert db.run(AS_OF) == []
    assert db.enrolled_at(enrollment) is None
    assert db.rows("select * from class_activation.activations") == []
    assert "row security" in db.value("select message from class_activation.problems")


def test_a_late_enrollment_that_cannot_be_updated_does_not_stop_the_others(db: Database) -> None:
    facility = db.facility()
    bad, good = db.class_(facility), db.class_(facility)
    db.run(AS_OF)
    refused, late = db.enrollment(bad), db.enrollment(good)
    reject(db, "enrollments", bad)
    waiting = db.class_(facility)

    assert [row.class_id for row in db.run(AS_OF)] == [waiting]

    assert db.enrolled_at(late) is not None
    assert db.enrolled_at(refused) is None
    assert db.value("select class_id from class_activation.problems") == bad


def test_a_late_enrollment_that_failed_is_backfilled_once_it_is_fixed_days_later(db: Database) -> None:
    class_id = db.class_()
    db.run(AS_OF)
    late = db.enrollment(class_id)
    reject(db, "enrollments", class_id)
    db.run(AS_OF)
    for table, column in (("activations", "activated_at"), ("runs", "started_at")):
        db.execute(f"update class_activation.{table} set {column} = {column} - interval '60 days'")

    db.run(AS_OF)
    assert db.row("select class_id, attempts from class_activation.problems") == (class_id, 2)
    assert db.value("select status from class_activation.health()") == "warning"

    db.execute("drop trigger reject on public.program_class_enrollments")
    db.run()
    assert db.enrolled_at(late) is not None
    assert db.rows("select * from class_activation.problems") == []
    assert db.last_run().enrollments_backfilled == 1


@pytest.mark.parametrize(
    "solution",
    [
        "update public.program_class_enrollments set enrollment_status = 'Incomplete: Withdrawn'",
        "update public.program_class_enrollments set deleted_at = now()",
        "update public.program_class_enrollments set enrolled_at = now()",
        "update {classes} set status = 'Completed'",
        "delete from public.program_class_enrollments",
    ],
)
def test_a_problem_of_a_late_enrollment_is_gone_once_it_waits_no_longer(db: Database, solution: str) -> None:
    class_id = db.class_()
    db.run(AS_OF)
    db.enrollment(class_id)
    reject(db, "enrollments", class_id)
    db.run(AS_OF)
    db.execute("update class_activation.activations set activated_at = activated_at - interval '60 days'")
    assert db.value("select count(*) from class_activation.problems") == 1

    db.execute("drop trigger reject on public.program_class_enrollments")
    db.execute(solution)
    db.run(AS_OF)

    assert db.rows("select * from class_activation.problems") == []


# what a trigger of the platform fails with, and that is its class's problem
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
def test_whatever_a_trigger_fails_with_is_the_problem_of_its_class_alone(db: Database, step: str) -> None:
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


def test_classes_that_were_not_tried_have_not_failed(
    db: Database, notices: list[tuple[str | None, str | None]]
) -> None:
    facility = db.facility()
    for _ in range(5):
        db.class_(facility, "2026-02-01")
    reject(db, "classes", "> 0")
    db.run(AS_OF)
    db.execute("drop trigger reject on {classes}")
    new = db.class_(facility)
    notices.clear()

    assert [row.class_id for row in db.run(AS_OF, max_classes=1)] == [new]

    assert (db.last_run().classes_failed, notices) == (0, [])


CLOSED = ["pg_database", "pg_db_role_setting", "pg_roles", "pg_settings", "pg_locks", "pg_stat_activity"]


def test_catalogs_that_are_closed_to_public_fail_no_class(platform: Database, role: str) -> None:
    own_platform(platform, role)
    deploy("upgrade", "head", database=platform.name, x=OFF)
    class_id = platform.class_()
    platform.enrollment(class_id)
    platform.execute(f"revoke select on {', '.join(CLOSED)} from public")
    owner = platform.connect(user=role, password="secret")

    (activated,) = owner.execute("select * from class_activation.activate_scheduled_classes()").fetchall()

    assert (activated.class_id, activated.enrollments_backfilled) == (class_id, 1)
    for call in ("health()", "preview()", "revert(1)"):
        owner.execute(f"select class_activation.{call}")
    assert platform.rows("select * from class_activation.problems") == []


@pytest.mark.parametrize("table", ["{classes}", "public.facilities", "public.program_class_enrollments"])
def test_a_child_that_repeats_the_ids_of_a_table_changes_nothing(db: Database, table: str) -> None:
    good, lost = db.class_(), db.class_(db.facility("Mars/Phobos"))
    enrollment = db.enrollment(good)
    table = table.format(classes=db.classes)
    db.execute(
        f"create table public.child (like {table} including defaults);"
        f"insert into public.child select * from only {table}; alter table public.child inherit {table}"
    )

    for _ in range(2):
        db.run(AS_OF)
    assert db.value(f"select status from only {db.classes} where id = {good}") == "Active"
    assert db.value(
        f"select enrolled_at is not null from only public.program_class_enrollments where id = {enrollment}"
    )
    assert db.rows("select class_id from class_activation.problems") == [(lost,)]
    assert db.value("select count(*) from class_activation.preview()") == 1


# of the server, or of what a trigger of one class calls, such as a foreign table
SERVER_ERRORS = [
    "53000",
    "53100",
    "53400",
    "57000",
    "57P01",
    "57P03",
    "58000",
    "58030",
    "58P01",
    "XX000",
    "XX001",
]


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


@pytest.mark.parametrize("step", ["activate", "backfill"])
def test_a_server_error_of_all_classes_ends_the_run_unchanged_after_a_few(db: Database, step: str) -> None:
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
def test_a_lock_that_all_classes_meet_ends_the_run_after_a_few(db: Database, table: str) -> None:
    db.due_classes(600)
    holder = db.connect(autocommit=False)
    holder.execute(f"lock table public.{table} in exclusive mode")

    db.run(AS_OF)
    assert (db.last_run().classes_skipped, db.last_run().classes_failed) == (600, 0)
    # an attempt that was undone has used up an id of the history
    wasted = db.value(
        "select last_value from pg_sequences where sequencename ~ 'classes_history_id|sections_history_id'"
    )
    assert (wasted or 0) < 6 * 600

    holder.rollback()
    db.run(AS_OF)
    assert db.value("select count(*) from {classes} where status = 'Scheduled'") == 0


# start dates that no timestamp can hold, and whether the class would be due by now
IMPOSSIBLE = [
    ("-infinity", True),
    ("4714-11-24 BC", True),
    ("4714-12-31 BC", True),
    ("294276-01-01", False),
    ("294277-01-01", False),
    ("300000-01-01", False),
    ("5874897-12-31", False),
    ("infinity", False),
]


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Chicago", "Mars/Phobos"])
def test_a_date_that_no_timestamp_holds_is_a_problem_and_all_others_are_answered(
    db: Database, zone: str
) -> None:
    facility, place = db.facility("America/Denver"), db.facility(zone)
    due, later = db.class_(facility, "2026-03-02"), db.class_(facility, "2999-01-02")
    bad = {db.class_(place, start_dt): past for start_dt, past in IMPOSSIBLE}
    wrong, sqlstate = ("timezone", "22023") if zone == "Mars/Phobos" else ("start_dt", "22008")
    soon = datetime(2999, 1, 2, 12, tzinfo=UTC)

    shown = {
        row.class_id: row
        for row in db.rows("select class_id, due, due_at, problem from class_activation.preview(%s)", AS_OF)
    }
    assert {class_id for class_id, row in shown.items() if row.due} == {due}
    assert all(shown[class_id].due_at is None and wrong in shown[class_id].problem for class_id in bad)
    assert (shown[due].problem, shown[later].problem, shown[later].due_at) == (None, None, soon)
    assert db.row("select overdue_classes, next_due_at from class_activation.health('05:00')") == (1, soon)
    doctor = {row.check_name: row for row in db.rows("select * from class_activation.doctor()")}
    assert doctor["overdue_classes"].detail.startswith("1 class has been due")

    for attempt in (1, 2):
        activated = [row.class_id for row in db.rows(f"select class_id from class_activation.{JOB}")]
        assert activated == ([due] if attempt == 1 else [])
        assert dict(db.rows("select class_id, sqlstate from class_activation.problems")) == {
            class_id: sqlstate for class_id, past in bad.items() if past
        }
        assert db.last_run().classes_failed == sum(bad.values())
    assert db.value("select next_due_at from class_activation.health()") == soon
    assert db.value("select count(*) from class_activation.doctor()") == len(doctor)
    # revert reads start dates too
    assert db.rows("select class_id, outcome from class_activation.revert(1)") == [(due, "reverted")]

    db.execute("update {classes} set start_dt = '2026-03-01' where id = any (%s)", list(bad))
    db.execute("update public.facilities set timezone = 'America/Denver'")
    assert {row.class_id for row in db.run(AS_OF)} == bad.keys()
    assert db.rows("select * from class_activation.problems") == []


@pytest.mark.parametrize("start_dt", ["0001-01-01", "0001-12-31 BC"])
def test_the_zero_time_of_go_is_no_start_date(db: Database, start_dt: str) -> None:
    class_id = db.class_(start_dt=start_dt)

    shown = db.row("select due, due_at, problem from class_activation.preview()")
    assert shown == (False, None, f"no start date; set {db.label}.start_dt")
    assert db.run() == []
    assert db.last_run().classes_failed == 0
    assert db.status(class_id) == "Scheduled"


@pytest.mark.parametrize("start_dt", ["4713-01-02 BC", "0044-03-15 BC", "0001-01-02", "1582-10-10"])
def test_a_date_of_long_ago_is_due(db: Database, start_dt: str) -> None:
    class_id = db.class_(db.facility("Pacific/Kiritimati"), start_dt)

    assert db.value("select due from class_activation.preview()")
    assert db.value("select overdue_classes from class_activation.health()") == 1
    assert db.value(f"select class_id from class_activation.{JOB}") == class_id


def test_the_next_morning_is_that_of_a_class_that_will_be_activated(db: Database) -> None:
    """A class that waits for a correction is not what happens next, and does not hide what does."""
    today = db.value("select (now() at time zone 'America/Chicago')::date")
    db.class_(db.facility("Mars/Phobos"), f"{today.year + 1}-01-10")
    db.class_(db.facility(deleted_at="2026-01-01"), f"{today.year + 1}-02-10")
    db.class_(db.facility("America/Chicago"), f"{today.year + 1}-06-10")

    assert db.value("select next_due_at from class_activation.health('05:00')") == datetime(
        today.year + 1, 6, 10, 10, tzinfo=UTC
    )


def test_a_class_whose_facility_has_no_zone_is_answered_by_every_function(db: Database) -> None:
    db.execute("alter table public.facilities alter timezone drop not null")
    lost, found = db.class_(db.facility(None)), db.class_()

    shown = {row.class_id: row for row in db.rows("select * from class_activation.preview()")}
    assert (shown[lost].due, shown[lost].due_at, shown[found].due) == (False, None, True)
    assert "time zone is null" in shown[lost].problem
    health = db.row("select * from class_activation.health()")
    assert (health.overdue_classes, health.unknown_timezones) == (1, 1)
    (doctor,) = db.rows("select * from class_activation.doctor() where check_name = 'timezones'")
    assert "null at facility" in doctor.detail

    assert [row.class_id for row in db.run()] == [found]
    assert db.row("select class_id, sqlstate from class_activation.problems") == (lost, "22023")


@pytest.mark.parametrize("setting", ["statement_timeout", "transaction_timeout"])
def test_a_backlog_under_a_timeout_is_processed_in_several_calls(db: Database, setting: str) -> None:
    if not db.value("select count(*) from pg_settings where name = %s", setting):
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
    session.execute(f"set {setting} = '1500ms'")
    left, calls = "select count(*) from {classes} where status = 'Scheduled'", 0

    while (waiting := db.value(left)) > 0:
        session.execute(f"select class_activation.{JOB}")
        calls += 1
        assert db.value(left) < waiting
        assert db.last_run().classes_left == db.value(left)
    assert 1 < calls < 10


def test_classes_that_failed_before_are_tried_a_few_at_a_time_and_all_succeed_once_fixed(
    db: Database,
) -> None:
    db.due_classes(300)
    db.execute("alter table {classes} add constraint never check (status <> 'Active') not valid")
    db.run(AS_OF)
    tried = "select count(*) from class_activation.problems where attempts > 1"
    assert db.value("select count(*) from class_activation.problems") == 300
    new = db.class_(capacity=1)
    db.execute("alter table {classes} drop constraint never")
    db.execute(
        "alter table {classes} add constraint never"
        " check (status <> 'Active' or capacity is not null) not valid"
    )

    assert [row.class_id for row in db.run(AS_OF)] == [new]
    assert db.value(tried) == 50
    assert db.last_run().classes_failed == 50
    for _ in range(5):
        db.run(AS_OF)
    # the longest untried first: each of them again before any a third time
    assert db.value(tried) == 300

    db.execute("alter table {classes} drop constraint never")
    assert len(db.run(AS_OF)) == 300
    assert db.rows("select * from class_activation.problems") == []


@pytest.mark.parametrize("bad", [[0], [999], [500, 501], [1, 400, 1300]])
def test_few_failing_classes_cost_few_attempts(db: Database, bad: list[int]) -> None:
    db.due_classes(1400)
    first = db.value("select min(id) from {classes}")
    ids = ", ".join(str(first + position) for position in bad)
    db.execute(
        f"alter table {{classes}} add constraint never"
        f" check (status <> 'Active' or id not in ({ids})) not valid"
    )

    assert len(db.run(AS_OF)) == 1400 - len(bad)

    # a subtransaction that was undone has used up an id of the sequence of the history
    wasted = db.value("select max(id) - count(*) from public.program_classes_history")
    assert wasted < 2 * 1400 * len(bad)


def test_many_classes_in_an_unknown_zone_are_recorded_a_few_at_a_time_and_all_counted(db: Database) -> None:
    db.due_classes(700)
    db.execute("update public.facilities set timezone = 'Mars/Phobos'")
    recorded = "select count(*) from class_activation.problems"

    for expected in (300, 600, 700):
        db.run(AS_OF)
        assert db.value(recorded) == expected
        assert db.last_run().classes_failed == 700
        assert db.value("select problem_classes from class_activation.health()") == 700

    # nothing about them changes any more, so nothing of them is written
    versions = (
        "select string_agg(concat(p.ctid, p.xmin), ' ' order by p.class_id) from class_activation.problems p"
    )
    before = db.value(versions)
    db.run(AS_OF)
    assert db.value(versions) == before
