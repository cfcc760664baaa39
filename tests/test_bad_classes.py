"""One bad class never stops the others."""

import pytest
from harness import Database

AS_OF = "2026-03-02 12:00Z"


def reject(db: Database, table: str, class_id: int, sqlstate: str = "23514") -> None:
    """Let a trigger of the platform refuse every update of one class or of its enrollments."""
    column = "id" if table == "program_classes" else "class_id"
    db.execute(
        f"""
        create or replace function public.reject() returns trigger language plpgsql as $$
        begin
          raise exception 'no update of this one' using errcode = '{sqlstate}', hint = 'leave it';
        end $$;
        create trigger reject before update on public.{table}
          for each row when (old.{column} = {class_id}) execute function public.reject();
        """
    )


@pytest.fixture
def notices(db: Database) -> list[tuple[str | None, str | None]]:
    """Severity and hint of what the server says beside the result."""
    received: list[tuple[str | None, str | None]] = []
    db.connection.add_notice_handler(lambda said: received.append((said.severity, said.message_hint)))
    return received


@pytest.mark.parametrize("table", ["program_classes", "program_class_enrollments"])
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
    assert notices == [("WARNING", "select * from class_activation.problems says why and what to do.")]


def test_a_check_that_is_deferred_until_commit_stops_no_other_class(db: Database) -> None:
    good, bad = db.class_(), db.class_()
    reject(db, "program_classes", bad)
    db.execute(
        f"""
        drop trigger reject on public.program_classes;
        create constraint trigger reject after update on public.program_classes
          initially deferred for each row when (old.id = {bad}) execute function public.reject();
        """
    )

    db.run(AS_OF)

    assert (db.status(good), db.status(bad)) == ("Active", "Scheduled")
    assert db.row("select class_id, sqlstate from class_activation.problems") == (bad, "23514")


def test_a_problem_counts_its_attempts_and_is_gone_once_the_class_is_activated(db: Database) -> None:
    bad = db.class_()
    reject(db, "program_classes", bad)
    db.run(AS_OF)
    first = db.row("select * from class_activation.problems")
    db.run(AS_OF)

    second = db.row("select * from class_activation.problems")
    assert (second.attempts, second.first_seen_at) == (2, first.first_seen_at)
    assert second.last_seen_at > first.last_seen_at

    db.execute("drop trigger reject on public.program_classes")
    assert [row.class_id for row in db.run(AS_OF)] == [bad]
    assert db.rows("select * from class_activation.problems") == []


@pytest.mark.parametrize(
    "solution",
    [
        "update public.program_classes set start_dt = '2026-04-01'",
        "update public.program_classes set status = 'Cancelled'",
        "update public.program_classes set deleted_at = now()",
        "update public.facilities set deleted_at = now()",
        "delete from public.program_classes",
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
    found = db.class_(start_dt="0001-01-01")

    assert [row.class_id for row in db.run(AS_OF)] == [found]
    problem = db.row("select * from class_activation.problems")
    assert (problem.class_id, problem.sqlstate) == (impossible, "22008")
    assert "correct program_classes.start_dt" in problem.message


def test_bad_classes_do_not_use_up_max_classes(db: Database) -> None:
    facility = db.facility()
    bad = db.class_(facility, "2026-02-01")
    good = db.class_(facility, "2026-02-02")
    reject(db, "program_classes", bad)

    assert [row.class_id for row in db.run(AS_OF, max_classes=1)] == [good]


def test_an_update_that_a_trigger_swallows_is_a_failure_and_no_half_activation(db: Database) -> None:
    class_id = db.class_()
    enrollment = db.enrollment(class_id)
    db.execute(
        "create function public.swallow() returns trigger language plpgsql as 'begin return null; end';"
        "create trigger swallow before update on public.program_classes"
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
    reject(db, "program_class_enrollments", bad)
    waiting = db.class_(facility)

    assert [row.class_id for row in db.run(AS_OF)] == [waiting]

    assert db.enrolled_at(late) is not None
    assert db.enrolled_at(refused) is None
    assert db.value("select class_id from class_activation.problems") == bad
