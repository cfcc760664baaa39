"""If a session of the platform and the job block each other, the job yields: no deadlock in the platform."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from harness import ROOT, Database, open_transaction, wait_until, waits_for

AS_OF = "2026-03-02 12:00Z"
RUN = f"select * from public.activate_scheduled_classes('{AS_OF}')"
CROSSINGS = 25


@pytest.mark.slow
@pytest.mark.parametrize("deadlock_timeout", [5, 120])
@pytest.mark.parametrize("classes", [1, 150])
@pytest.mark.parametrize("step", ["activate", "backfill"])
def test_an_editor_never_fails_with_a_deadlock(
    db: Database, step: str, classes: int, deadlock_timeout: int
) -> None:
    """One slow class, or many fast ones; each time the editor begins later in the run."""
    facility, resident = db.facility(), db.resident()
    if classes == 1:
        db.execute(
            """
            create function public.take_time() returns trigger language plpgsql as
              'begin perform pg_sleep(0.2); return new; end';
            create trigger take_time before update on {classes}
              for each row when (new.status = 'Active') execute function public.take_time();
            create trigger take_time before update on public.program_class_enrollments
              for each row when (new.enrolled_at is not null) execute function public.take_time();
            """
        )
    caller, editor = db.connect(), db.connect()
    editor.execute(f"set deadlock_timeout = '{deadlock_timeout}ms'")
    cancelled = []
    with ThreadPoolExecutor(1) as threads:
        for crossing in range(CROSSINGS):
            due = [db.class_(facility) for _ in range(classes)]
            if step == "backfill":
                db.execute("alter table {classes} disable trigger user")
                db.run(AS_OF)
                db.execute("alter table {classes} enable trigger user")
            for class_id in due:
                db.enrollment(class_id, user_id=resident)
            class_id = due[crossing * classes // CROSSINGS]
            run = threads.submit(lambda: caller.execute(RUN).fetchall())
            editor.execute("select pg_sleep(%s)", [0.35 * crossing / CROSSINGS])
            with editor.transaction():
                editor.execute(
                    "update public.program_class_enrollments set enrollment_status = 'Cancelled'"
                    f" where {db.class_key} = %s",
                    [class_id],
                )
                editor.execute(f"update {db.classes} set status = 'Cancelled' where id = %s", [class_id])
            run.result()
            cancelled.append(class_id)
    assert {db.status(class_id) for class_id in cancelled} == {"Cancelled"}
    db.run(AS_OF)
    pending = "enrollment_status = 'Enrolled' and enrolled_at is null"
    assert db.rows(f"select from public.program_class_enrollments where {pending}") == []


@pytest.mark.parametrize(
    ("call", "first"),
    [
        ("public.activate_scheduled_classes()", "program_classes"),
        ("class_activation.preview()", "program_classes"),
        ("class_activation.preview()", "program_class_enrollments"),
        ("class_activation.health()", "facilities"),
    ],
)
def test_a_call_that_meets_a_migration_fails_and_the_migration_succeeds(
    db: Database, call: str, first: str
) -> None:
    db.enrollment(db.class_())
    migration, caller = db.connect(autocommit=False), db.connect()
    migration.execute("set deadlock_timeout = '5ms'")
    caller.execute("set statement_timeout = '10s'")
    migration.execute(f"alter table public.{first} add column note text")
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(lambda: caller.execute(f"select * from {call}").fetchall())
        wait_until(lambda: waits_for(db, caller, "Lock", "Timeout"))
        for table in ("program_classes", "facilities", "program_class_enrollments", "users"):
            migration.execute(f"alter table public.{table} add column if not exists note text")
        with pytest.raises(psycopg.errors.LockNotAvailable, match="locked by another session") as error:
            waiting.result()
    assert error.value.diag.message_detail == f"Process {migration.info.backend_pid} holds it."
    migration.commit()
    assert db.rows("select * from class_activation.runs") == []
    assert len(caller.execute(f"select * from {call}").fetchall()) == 1


def test_a_run_does_not_wait_for_a_deployment(db: Database) -> None:
    db.execute("set statement_timeout = '10s'")
    lock = "lock table class_activation.problems"
    with open_transaction(db, lock), pytest.raises(psycopg.errors.LockNotAvailable):
        db.run()


def test_a_call_that_meets_a_waiting_migration_names_it(db: Database) -> None:
    migration = db.connect()
    with ThreadPoolExecutor(1) as threads:
        with open_transaction(db, "lock table public.facilities in access share mode"):
            waiting = threads.submit(lambda: migration.execute("alter table public.facilities add note text"))
            wait_until(lambda: waits_for(db, migration, "Lock"))
            with pytest.raises(psycopg.errors.LockNotAvailable) as error:
                db.run()
        waiting.result()
    assert error.value.diag.message_detail == f"Process {migration.info.backend_pid} awaits it."


@pytest.mark.parametrize("direction", ["cohorts", "one_tier"])
def test_a_call_that_waited_for_the_restructuring_serves_the_new_shape(db: Database, direction: str) -> None:
    class_id = db.class_()
    if direction == "one_tier":
        db.restructure()
    migration, caller = db.connect(autocommit=False), db.connect()
    migration.execute((ROOT / f"tests/platform_{direction}.sql").read_text())
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(
            lambda: caller.execute("select * from class_activation.preview()").fetchall()
        )
        wait_until(lambda: waits_for(db, caller, "Lock", "Timeout"))
        migration.commit()
        assert [row.class_id for row in waiting.result()] == [class_id]
