"""Several sessions at once: editors of the platform, and any number of callers of the job."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier

import psycopg
import pytest
from harness import Database, wait_until

AS_OF = "2026-03-02 12:00Z"
RUN = f"select * from public.activate_scheduled_classes('{AS_OF}')"


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as executor:
        yield executor


@contextmanager
def open_transaction(db: Database, *statements: str) -> Iterator[psycopg.Connection]:
    """Another session that has run the statements and not committed; it rolls back at the end."""
    session = db.connect(autocommit=False)
    for statement in statements:
        session.execute(statement)
    yield session
    session.rollback()


def waits_for(db: Database, session: psycopg.Connection, event: str) -> bool:
    """Whether the server shows that SESSION waits for EVENT (a wait_event or its type)."""
    return db.value(
        "select %s in (wait_event, wait_event_type) from pg_stat_activity where pid = %s",
        event,
        session.info.backend_pid,
    )


def enroll(db: Database, class_id: int, user: int) -> str:
    """Return the statement that enrolls a resident, as the application writes it."""
    return (
        f"insert into public.program_class_enrollments ({db.class_key}, user_id, enrollment_status"
        f"{', class_id' if db.cohorts else ''}) select c.id, {user}, 'Enrolled'"
        f"{', c.class_id' if db.cohorts else ''} from {db.classes} c where c.id = {class_id}"
    )


def in_background(threads: ThreadPoolExecutor, session: psycopg.Connection, sql: str) -> Future:
    return threads.submit(lambda: session.execute(sql).fetchall())


def test_a_class_that_another_session_holds_is_skipped_and_picked_up_by_the_next_run(db: Database) -> None:
    held, free = db.class_(), db.class_()

    with open_transaction(db, f"update {db.classes} set capacity = 5 where id = {held}"):
        assert [row.class_id for row in db.run(AS_OF)] == [free]
    assert db.last_run().classes_skipped == 1

    assert [row.class_id for row in db.run(AS_OF)] == [held]


def test_a_class_that_is_being_cancelled_stays_cancelled(db: Database) -> None:
    class_id = db.class_()

    with open_transaction(db, f"update {db.classes} set status = 'Cancelled'") as editor:
        assert db.run(AS_OF) == []
        editor.commit()

    assert db.run(AS_OF) == []
    assert db.status(class_id) == "Cancelled"


@pytest.mark.parametrize(
    "change",
    [
        "status = 'Cancelled'",
        "start_dt = '2026-04-01'",
        "archived_at = now()",
        # another session was faster: what is Active already is not the job's any more
        "status = 'Active'",
    ],
)
def test_a_class_changed_between_the_look_and_the_lock_is_not_activated(
    db: Database, threads: ThreadPoolExecutor, change: str
) -> None:
    # the run is stopped while it activates another class: one that failed before comes after it
    class_id, other = db.class_(), db.class_()
    enrollment = db.enrollment(class_id)
    db.enrollment(other)
    db.execute(
        "insert into class_activation.problems"
        " (class_id, facility_id, first_seen_at, last_seen_at, attempts, sqlstate, message)"
        " values (%s, 1, now(), now(), 1, '23514', 'failed')",
        class_id,
    )
    db.execute(
        """
        create function public.stop_here() returns trigger language plpgsql as $$
        begin
          while not pg_try_advisory_xact_lock_shared(1) loop perform pg_sleep(0.01); end loop;
          return new;
        end $$;
        create trigger stop_here before update on public.program_class_enrollments
          for each row execute function public.stop_here();
        """
    )
    gate, caller = db.connect(), db.connect()
    gate.execute("select pg_advisory_lock(1)")

    run = in_background(threads, caller, RUN)
    wait_until(lambda: waits_for(db, caller, "PgSleep"))
    db.execute(f"update {db.classes} set {change} where id = {class_id}")
    gate.execute("select pg_advisory_unlock(1)")

    assert [row.class_id for row in run.result()] == [other]
    assert db.last_run().classes_skipped == 0
    assert db.enrolled_at(enrollment) is None
    assert (
        db.value("select count(*) from public.program_classes_history where parent_ref_id = %s", class_id)
        == 1
    )


def test_an_enrollment_that_is_not_committed_yet_makes_its_class_wait(db: Database) -> None:
    class_id, user = db.class_(), db.resident()

    with open_transaction(db, enroll(db, class_id, user)) as registrar:
        assert db.run(AS_OF) == []
        registrar.commit()

    (activated,) = db.run(AS_OF)
    assert activated.enrollments_backfilled == 1


def test_an_enrollment_that_waited_for_the_run_is_backfilled_by_the_next_one(
    db: Database, threads: ThreadPoolExecutor
) -> None:
    class_id, user = db.class_(), db.resident()
    registrar = db.connect()

    with open_transaction(db, RUN) as caller:
        late = in_background(
            threads,
            registrar,
            enroll(db, class_id, user) + " returning id",
        )
        wait_until(lambda: waits_for(db, registrar, "Lock"))
        caller.commit()
    ((enrollment,),) = late.result()
    assert db.enrolled_at(enrollment) is None

    db.run(AS_OF)

    assert db.enrolled_at(enrollment) is not None


def test_a_class_is_not_activated_without_an_enrollment_that_another_session_holds(db: Database) -> None:
    held, free = db.class_(), db.class_()
    withdrawing, staying = db.enrollment(held), db.enrollment(held)
    withdraw = (
        "update public.program_class_enrollments set enrollment_status = 'Incomplete: Withdrawn'"
        f" where id = {withdrawing}"
    )

    with open_transaction(db, withdraw) as editor:
        assert [row.class_id for row in db.run(AS_OF)] == [free]
        assert db.status(held) == "Scheduled"
        assert db.enrolled_at(staying) is None
        assert db.last_run().classes_skipped == 1
        editor.commit()

    assert [row.class_id for row in db.run(AS_OF)] == [held]
    assert db.enrolled_at(withdrawing) is None
    assert db.enrolled_at(staying) is not None
    assert db.rows("select * from class_activation.problems") == []


def test_a_held_late_enrollment_does_not_make_the_run_fail(db: Database) -> None:
    earlier = db.class_()
    db.run(AS_OF)
    late = db.enrollment(earlier)
    waiting = db.class_()

    with open_transaction(db, f"select from public.program_class_enrollments where id = {late} for update"):
        assert [row.class_id for row in db.run(AS_OF)] == [waiting]

    db.run(AS_OF)
    assert db.enrolled_at(late) is not None


def test_if_an_editor_and_the_job_cross_it_is_the_job_that_yields(
    db: Database, threads: ThreadPoolExecutor
) -> None:
    class_id = db.class_()
    enrollment = db.enrollment(class_id)
    caller = db.connect()

    with open_transaction(
        db, f"update public.program_class_enrollments set change_reason = 'r' where id = {enrollment}"
    ) as editor:
        run = in_background(threads, caller, RUN)
        wait_until(lambda: run.done() or waits_for(db, caller, "Lock"))
        # each now waits for the other, until the job gives up
        editor.execute(f"update {db.classes} set status = 'Cancelled' where id = {class_id}")
        editor.commit()

    assert run.result() == []
    assert db.status(class_id) == "Cancelled"


def test_many_callers_activate_each_class_once_and_none_fails(
    db: Database, threads: ThreadPoolExecutor
) -> None:
    facility, program = db.facility(), db.program()
    classes = [db.class_(facility, program_id=program) for _ in range(60)]
    user = db.resident()
    for class_id in classes:
        db.enrollment(class_id, user_id=user)
    db.class_(db.facility("Mars/Phobos"))
    callers = [db.connect() for _ in range(8)]

    call = f"select * from public.activate_scheduled_classes('{AS_OF}', p_max_classes => 5)"
    runs = [in_background(threads, callers[i % 8], call) for i in range(48)]
    activated = [row.class_id for run in runs for row in run.result()] + [
        row.class_id for row in db.run(AS_OF)
    ]

    assert sorted(activated) == classes
    history = db.rows("select parent_ref_id from public.program_classes_history order by 1")
    assert [row.parent_ref_id for row in history] == classes
    assert db.value("select count(*) from public.program_class_enrollments where enrolled_at is null") == 0
    assert db.value("select count(*) from class_activation.runs") == 49


def test_a_run_that_its_caller_leaves_open_stops_no_other_run(db: Database) -> None:
    db.class_()
    lost = db.class_(db.facility("Mars/Phobos"))
    db.run(AS_OF)
    late = db.enrollment(db.class_(status="Active"))
    solved = db.facility("Mars/Deimos")
    db.class_(solved)
    db.run(AS_OF)
    db.execute("update public.facilities set timezone = 'America/Denver' where id = %s", solved)
    db.class_()

    with open_transaction(db, RUN):
        new = db.class_()
        assert [row.class_id for row in db.run(AS_OF)] == [new]
        assert db.last_run().classes_skipped == 2
    assert db.enrolled_at(late) is None

    assert len(db.run(AS_OF)) == 2
    assert db.row("select class_id from class_activation.problems").class_id == lost


def test_a_locked_table_makes_the_run_fail_within_the_lock_timeout_and_change_nothing(db: Database) -> None:
    class_id = db.class_()

    with (
        open_transaction(db, f"lock table {db.classes} in access exclusive mode"),
        pytest.raises(psycopg.errors.LockNotAvailable),
    ):
        db.run(AS_OF)

    assert db.rows("select * from class_activation.runs") == []
    assert [row.class_id for row in db.run(AS_OF)] == [class_id]


def test_a_caller_in_a_stricter_isolation_level_skips_what_changed_meanwhile(db: Database) -> None:
    changed, free = db.class_(), db.class_()
    caller = db.connect(autocommit=False)
    caller.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    caller.execute(f"select 1 from {db.classes}")
    db.execute(f"update {db.classes} set capacity = 5 where id = {changed}")

    assert [row.class_id for row in caller.execute(RUN)] == [free]
    caller.commit()

    assert [row.class_id for row in db.run(AS_OF)] == [changed]


def test_the_callers_own_settings_are_as_before(db: Database) -> None:
    db.class_()
    db.execute("set lock_timeout = '7s'")

    db.run(AS_OF)

    assert db.value("show lock_timeout") == "7s"


def test_four_serializable_callers_leave_nothing_half_done(db: Database) -> None:
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
                    return len(session.execute(RUN).fetchall())
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


def test_a_serializable_caller_leaves_changed_classes_to_the_next_run(db: Database) -> None:
    """What was changed after the caller's snapshot is left to the next run."""
    facility = db.facility()
    edited, other = db.class_(facility), db.class_(facility)
    late = db.enrollment(edited)
    session = db.connect(autocommit=False)
    session.execute("set transaction isolation level serializable")
    session.execute(f"select count(*) from {db.classes}")
    db.execute("update public.program_class_enrollments set change_reason = 'x', updated_at = now()")
    db.enrollment(other)

    assert [row.class_id for row in session.execute(RUN)] == [other]
    session.commit()

    assert (db.status(edited), db.enrolled_at(late)) == ("Scheduled", None)
    assert [row.class_id for row in db.run(AS_OF)] == [edited]
    assert db.value("select count(*) from public.program_class_enrollments where enrolled_at is null") == 0
