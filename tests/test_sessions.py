"""Several sessions at once: editors of the platform, and any number of callers of the job."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Barrier

import psycopg
import pytest
from harness import Database, open_transaction, wait_until, waits_for

AS_OF = "2026-03-02 12:00Z"
RUN = f"select * from public.activate_scheduled_classes('{AS_OF}')"


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as executor:
        yield executor


def enroll(db: Database, class_id: int, user: int) -> str:
    """Return the statement that enrolls a resident, as the application writes it."""
    return (
        f"insert into public.program_class_enrollments ({db.class_key}, user_id, enrollment_status"
        f"{', class_id' if db.cohorts else ''}) select c.id, {user}, 'Enrolled'"
        f"{', c.class_id' if db.cohorts else ''} from {db.classes} c where c.id = {class_id}"
    )


def in_background(threads: ThreadPoolExecutor, session: psycopg.Connection, sql: str) -> Future:
    return threads.submit(lambda: session.execute(sql).fetchall())


def test_a_locked_class_is_skipped_until_the_next_run(db: Database) -> None:
    edited, cancelled, free = (db.class_() for _ in range(3))
    edits = (
        f"update {db.classes} set capacity = 5 where id = {edited}",
        f"update {db.classes} set status = 'Cancelled' where id = {cancelled}",
    )

    with open_transaction(db, *edits) as editor:
        assert [row.class_id for row in db.run(AS_OF)] == [free]
        assert db.last_run().classes_skipped == 2
        editor.commit()

    assert [row.class_id for row in db.run(AS_OF)] == [edited]
    assert db.status(cancelled) == "Cancelled"


def test_a_class_that_changed_before_it_was_locked_is_not_activated(
    db: Database, threads: ThreadPoolExecutor
) -> None:
    # the run is stopped while it activates another class: classes that failed before are processed later
    other = db.class_()
    db.enrollment(other)
    # one that is locked only at first is tried once more at the end
    locked = db.class_()
    changes = {
        db.class_(): change
        for change in (
            "status = 'Cancelled'",
            "start_dt = '2026-04-01'",
            "archived_at = now()",
            # another session was faster
            "status = 'Active'",
        )
    }
    enrollments = [db.enrollment(class_id) for class_id in changes]
    db.execute(
        "insert into class_activation.problems"
        " (class_id, facility_id, first_seen_at, last_seen_at, attempts, sqlstate, message)"
        " select id, 1, now(), now(), 1, '23514', 'failed' from {classes} where id > %s",
        locked,
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

    with open_transaction(db, f"update {db.classes} set capacity = 5 where id = {locked}"):
        run = in_background(threads, caller, RUN)
        wait_until(lambda: waits_for(db, caller, "PgSleep"))
    for class_id, change in changes.items():
        db.execute(f"update {db.classes} set {change} where id = {class_id}")
    gate.execute("select pg_advisory_unlock(1)")

    assert [row.class_id for row in run.result()] == [other, locked]
    assert db.last_run().classes_skipped == 0
    assert {db.enrolled_at(enrollment) for enrollment in enrollments} == {None}
    # one row of history for each class: that of its change, or of its activation
    history = db.rows("select parent_ref_id from public.program_classes_history order by 1")
    assert [row.parent_ref_id for row in history] == [other, locked, *changes]


def test_a_class_with_an_uncommitted_enrollment_is_skipped(db: Database) -> None:
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
        late = in_background(threads, registrar, enroll(db, class_id, user) + " returning id")
        wait_until(lambda: waits_for(db, registrar, "Lock"))
        caller.commit()
    ((enrollment,),) = late.result()
    assert db.enrolled_at(enrollment) is None

    db.run(AS_OF)

    assert db.enrolled_at(enrollment) is not None


def test_a_class_with_a_locked_enrollment_is_skipped(db: Database) -> None:
    held, free = db.class_(), db.class_()
    withdrawing, staying = db.enrollment(held), db.enrollment(held)
    withdraw = (
        "update public.program_class_enrollments set enrollment_status = 'Incomplete: Withdrawn'"
        f" where id = {withdrawing}"
    )

    with open_transaction(db, withdraw) as editor:
        lock = "select class_activation_internal.lock_classes(%s, 'Scheduled', true)"
        assert db.value(lock, [held, free]) == [free]
        assert [row.class_id for row in db.run(AS_OF)] == [free]
        assert db.status(held) == "Scheduled"
        assert db.enrolled_at(staying) is None
        assert db.last_run().classes_skipped == 1
        editor.commit()

    assert [row.class_id for row in db.run(AS_OF)] == [held]
    assert db.enrolled_at(withdrawing) is None
    assert db.enrolled_at(staying) is not None
    assert db.rows("select * from class_activation.problems") == []


def test_a_locked_late_enrollment_is_skipped(db: Database) -> None:
    earlier = db.class_()
    db.run(AS_OF)
    late = db.enrollment(earlier)
    waiting = db.class_()

    with open_transaction(db, f"select from public.program_class_enrollments where id = {late} for update"):
        assert [row.class_id for row in db.run(AS_OF)] == [waiting]

    db.run(AS_OF)
    assert db.enrolled_at(late) is not None


def test_many_callers_activate_each_class_once(db: Database, threads: ThreadPoolExecutor) -> None:
    facility, program = db.facility(), db.program()
    classes = [db.class_(facility, program_id=program) for _ in range(60)]
    user = db.resident()
    for class_id in classes:
        db.enrollment(class_id, user_id=user)
    db.class_(db.facility("Mars/Phobos"))
    callers = [db.connect() for _ in range(8)]

    call = f"select * from public.activate_scheduled_classes('{AS_OF}', p_max_classes => 5)"
    runs = [in_background(threads, callers[i % 8], call) for i in range(48)]
    activated = [row.class_id for run in runs for row in run.result()]
    activated += [row.class_id for row in db.run(AS_OF)]

    assert sorted(activated) == classes
    history = db.rows("select parent_ref_id from public.program_classes_history order by 1")
    assert [row.parent_ref_id for row in history] == classes
    assert db.value("select count(*) from public.program_class_enrollments where enrolled_at is null") == 0
    assert db.value("select count(*) from class_activation.runs") == 49


def test_a_run_in_an_open_transaction_stops_no_other_run(db: Database) -> None:
    postponed = db.class_()
    db.run(AS_OF)
    db.revert(1)
    lost, cancelled, solved = (
        db.class_(db.facility(zone)) for zone in ("Mars/Phobos", "Mars/Deimos", "Venus")
    )
    db.run(AS_OF)
    db.class_()
    # the open run activates two classes, and deletes a hold that has ended and a problem
    for change in (
        f"start_dt = '2999-01-01' where id = {postponed}",
        f"status = 'Cancelled' where id = {cancelled}",
    ):
        db.execute(f"update {db.classes} set {change}")
    db.execute("update public.facilities set timezone = 'America/Denver' where timezone = 'Venus'")

    with open_transaction(db, RUN):
        new = db.class_()
        assert [row.class_id for row in db.run(AS_OF)] == [new]
        assert db.last_run().classes_skipped == 2

    # nor does one that only reads them
    tables = ("problems", "holds")
    with open_transaction(db, *[f"select from class_activation.{table} for share" for table in tables]):
        db.run(AS_OF)
    assert solved in [row.class_id for row in db.run(AS_OF)]
    assert db.rows("select class_id from class_activation.problems") == [(lost,)]
    assert db.rows("select * from class_activation.holds") == []


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_caller_in_a_stricter_isolation_level_skips_changed_classes(db: Database, level: str) -> None:
    edited, enrolled, free = (db.class_() for _ in range(3))
    late = db.enrollment(enrolled)
    with open_transaction(
        db, f"set transaction isolation level {level}", f"select 1 from {db.classes}"
    ) as caller:
        db.execute(f"update {db.classes} set capacity = 5 where id = {edited}")
        db.execute("update public.program_class_enrollments set change_reason = 'x', updated_at = now()")
        # one that the caller does not see
        db.enrollment(free)

        assert [row.class_id for row in caller.execute(RUN)] == [free]
        caller.commit()

    assert db.enrolled_at(late) is None
    assert [row.class_id for row in db.run(AS_OF)] == [edited, enrolled]
    assert db.value("select count(*) from public.program_class_enrollments where enrolled_at is null") == 0


def test_the_callers_settings_do_not_change(db: Database) -> None:
    db.enrollment(db.class_())
    settings = {
        "search_path": "pg_temp, public, class_activation",
        "lock_timeout": "7s",
        "row_security": "on",
        "jit": "on",
        "enable_nestloop": "on",
        "enable_seqscan": "on",
    }
    for name, value in settings.items():
        db.execute("select set_config(%s, %s, false)", name, value)

    db.run(AS_OF)
    assert db.revert(db.last_run().id)

    assert {name: db.value(f"show {name}") for name in settings} == settings


def test_serializable_callers_leave_no_class_half_activated(db: Database) -> None:
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

            # a caller that failed had locked some classes, which the others skipped
            assert sum(filter(None, found)) > 0, found
            db.run(AS_OF)
            assert {db.status(class_id) for class_id in classes} == {"Active"}
            assert None not in [db.enrolled_at(enrollment) for enrollment in enrollments]
            assert db.rows("select * from class_activation.problems") == []
    assert db.value("select count(*) = count(distinct class_id) from class_activation.activations")
