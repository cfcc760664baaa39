"""revert(): undoing a run."""

import psycopg
import pytest
from harness import BATCH_USER, Database, open_transaction

AS_OF = "2026-03-02 12:00Z"


def test_revert_undoes_a_run_once(db: Database) -> None:
    classes = [db.class_() for _ in range(2)]
    enrollments = [db.enrollment(class_id) for class_id in classes for _ in range(3)]
    cancelled = db.enrollment(classes[0], enrollment_status="Cancelled")
    db.run(AS_OF)
    run = db.last_run()

    assert db.revert(run.id) == dict.fromkeys(classes, 3)

    assert [db.status(class_id) for class_id in classes] == ["Scheduled", "Scheduled"]
    assert [db.enrolled_at(enrollment) for enrollment in [*enrollments, cancelled]] == [None] * 7
    assert db.rows("select distinct update_user_id from {classes}") == [(BATCH_USER,)]
    reverting = db.last_run()
    assert (reverting.reverts, reverting.classes_activated) == (run.id, 0)
    assert reverting.finished_at is not None
    assert db.rows("select distinct reverted_by from class_activation.activations") == [(reverting.id,)]
    # and only once
    assert db.outcomes(run.id) == dict.fromkeys(classes, ("already reverted", 0))

    # neither a revert nor a missing run can be reverted
    for run_id in (None, 999, reverting.id):
        with pytest.raises(psycopg.errors.NoDataFound, match="does not exist or cannot be reverted") as error:
            db.revert(run_id)
        assert "class_activation.runs" in error.value.diag.message_hint


def test_revert_leaves_changed_classes_alone(db: Database) -> None:
    changes = {
        db.class_(): change
        for change in (
            "status = 'Paused'",
            "capacity = 9, updated_at = now()",
            "update_user_id = 7",
            "archived_at = now()",
            "deleted_at = now()",
        )
    }
    enrollments = [db.enrollment(class_id) for class_id in changes]
    db.run(AS_OF)
    run = db.last_run()
    for class_id, change in changes.items():
        db.execute(f"update {db.classes} set {change} where id = {class_id}")

    assert db.outcomes(run.id) == dict.fromkeys(changes, ("changed since", 0))
    assert None not in [db.enrolled_at(enrollment) for enrollment in enrollments]


@pytest.mark.parametrize("late", [False, True])
def test_revert_leaves_changed_enrollments_alone(db: Database, late: bool) -> None:
    class_id = db.class_()
    before = db.enrollment(class_id, enrolled_at="2026-01-01 00:00Z")
    if late:
        db.run(AS_OF)
    changes = {
        db.enrollment(class_id): change
        for change in (
            # also by writers that do not set updated_at
            "enrollment_status = 'Incomplete: Withdrawn'",
            "enrolled_at = '2026-03-01 00:00Z'",
            "deleted_at = now()",
            "updated_at = now()",
            "update_user_id = 1",
        )
    }
    untouched = db.enrollment(class_id)
    db.run(AS_OF)
    for enrollment, change in changes.items():
        db.execute(f"update public.program_class_enrollments set {change} where id = {enrollment}")

    assert db.call("revert", 1) == [(class_id, 1, 5, "reverted")]
    assert db.enrolled_at(untouched) is None
    assert None not in [db.enrolled_at(enrollment) for enrollment in (before, *changes)]


# triggers of the platform that change the values by which revert recognizes a row
STAMPS = {
    "updated_at is the clock": "new.updated_at := clock_timestamp();",
    "updated_at is a moment ahead": "new.updated_at := clock_timestamp() + interval '5 seconds';",
    "updated_at stays": "new.updated_at := old.updated_at;",
    "the author is the session's": (
        "new.update_user_id := nullif(current_setting('app.user_id', true), '')::integer;"
    ),
    "the author is another": "new.update_user_id := 1;",
    "enrolled_at is rounded": (
        "if tg_relid = 'public.program_class_enrollments'::regclass"
        " then new.enrolled_at := date_trunc('day', new.enrolled_at); end if;"
    ),
}


@pytest.mark.parametrize("stamp", STAMPS.values(), ids=STAMPS)
def test_revert_recognizes_values_that_a_trigger_changed(db: Database, stamp: str) -> None:
    db.resident()
    class_id = db.class_(updated_at="2026-01-01")
    at_once, edited = (db.enrollment(class_id, updated_at="2026-01-01") for _ in range(2))
    db.execute(
        "create function public.stamp() returns trigger language plpgsql as"
        f" $$ begin {stamp} return new; end $$"
    )
    for table in (db.label, "program_class_enrollments"):
        db.execute(
            f"create trigger stamp before update on public.{table}"
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

    assert db.outcomes(run.id) == {class_id: ("reverted", 2)}
    assert (db.enrolled_at(at_once), db.enrolled_at(late)) == (None, None)
    assert db.enrolled_at(edited) is not None


def test_revert_includes_late_enrollments(db: Database) -> None:
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

    assert db.revert(run.id, [first]) == {first: 3}
    assert [db.enrolled_at(enrollment) is None for enrollment in at_once + late] == [True, False] * 3
    assert db.revert(run.id) == {second: 3}
    assert {db.enrolled_at(enrollment) for enrollment in at_once + late} == {None}
    # once it is released, all three start with the class
    db.execute("select class_activation.release(%s)", first)
    assert {row.class_id: row.enrollments_backfilled for row in db.run()}[first] == 3


def test_an_enrollment_that_was_backfilled_twice_counts_once(db: Database) -> None:
    class_id = db.class_()
    cleared, other = db.enrollment(class_id), db.enrollment(class_id)
    db.run(AS_OF)
    run = db.last_run()
    db.execute(f"update public.program_class_enrollments set enrolled_at = null where id = {cleared}")
    db.run(AS_OF)
    assert db.last_run().enrollments_backfilled == 1
    row = db.row("select enrollment_ids, enrollments_backfilled from class_activation.activations")
    assert row == ([cleared, other], 2)

    assert db.revert(run.id) == {class_id: 2}


def test_a_late_enrollment_belongs_to_the_newest_activation(db: Database) -> None:
    class_id = db.class_()
    db.run(AS_OF)
    first = db.last_run()
    db.enrollment(class_id)
    db.run()
    # by staff, so that no activation was reverted
    db.execute("update {classes} set status = 'Scheduled'")
    db.run()
    second = db.last_run()
    late = db.enrollment(class_id)
    db.run()

    assert db.outcomes(first.id) == {class_id: ("changed since", 0)}
    assert db.enrolled_at(late) is not None
    assert db.outcomes(second.id) == {class_id: ("reverted", 1)}


@pytest.mark.parametrize("which", ["class", "enrollment", "late enrollment"])
def test_revert_skips_a_class_with_a_locked_row(db: Database, which: str) -> None:
    class_id, other = db.class_(), db.class_()
    enrollments = [db.enrollment(class_id) for _ in range(3)]
    db.run(AS_OF)
    run = db.last_run()
    enrollments.append(db.enrollment(class_id))
    db.run(AS_OF)
    before = db.value("select c::text from {classes} c where id = %s", class_id)
    table = db.label if which == "class" else "program_class_enrollments"
    row = {"class": class_id, "enrollment": enrollments[1], "late enrollment": enrollments[3]}[which]
    lock = f"select from public.{table} where id = {row} for"

    with open_transaction(db, f"{lock} share"):
        assert db.outcomes(run.id) == {class_id: ("locked", 0), other: ("reverted", 0)}
    assert None not in [db.enrolled_at(enrollment) for enrollment in enrollments]
    assert db.value("select c::text from {classes} c where id = %s", class_id) == before
    assert db.rows("select class_id from class_activation.holds") == [(other,)]

    # the lock of a foreign key, for example of an enrollment that is not committed yet, makes no difference
    with open_transaction(db, f"{lock} key share"):
        assert db.outcomes(run.id) == {class_id: ("reverted", 4), other: ("already reverted", 0)}
    assert {db.enrolled_at(enrollment) for enrollment in enrollments} == {None}


def test_revert_returns_an_outcome_for_each_class(db: Database) -> None:
    reverted, edited, locked, before, deleted = (db.class_() for _ in range(5))
    db.run(AS_OF)
    run = db.last_run()
    assert db.revert(run.id, [before]) == {before: 0}
    assert db.status(reverted) == "Active"
    db.execute(f"update {db.classes} set capacity = 9, updated_at = now() where id = {edited}")
    db.execute(f"delete from {db.classes} where id = {deleted}")

    with open_transaction(db, f"select from {db.classes} where id = {locked} for update"):
        assert db.outcomes(run.id) == {
            reverted: ("reverted", 0),
            edited: ("changed since", 0),
            locked: ("locked", 0),
            before: ("already reverted", 0),
            deleted: ("changed since", 0),
        }
    # only reverted classes count as such
    last = "select class_id from class_activation.activations where reverted_by = %s"
    assert db.rows(last, db.last_run().id) == [(reverted,)]
    holds = db.rows("select class_id from class_activation.holds")
    assert {row.class_id for row in holds} == {reverted, before}
    assert db.rows("select * from class_activation.revert(%s, '{}')", run.id) == []


def test_a_revert_that_meets_a_lock_does_not_wait(db: Database) -> None:
    db.class_()
    db.run(AS_OF)
    db.execute("set statement_timeout = '10s'")
    lock = "lock table public.change_log_entries in exclusive mode"
    with open_transaction(db, lock), pytest.raises(psycopg.errors.LockNotAvailable):
        db.revert(1)


@pytest.mark.parametrize("column", ["status", "enrolled_at"])
def test_a_revert_that_a_trigger_prevents_changes_nothing(db: Database, column: str) -> None:
    class_id, other = db.class_(), db.class_()
    db.enrollment(class_id)
    db.run(AS_OF)
    table, key = (db.label, "id") if column == "status" else ("program_class_enrollments", db.class_key)
    run = db.last_run()
    db.execute(
        f"""
        create function public.keep() returns trigger language plpgsql as
          'begin new.{column} := old.{column}; return new; end';
        create trigger keep before update on public.{table}
          for each row when (old.{key} = {class_id}) execute function public.keep();
        """
    )

    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match=f"run {run.id}"):
        db.revert(run.id)

    assert (db.status(class_id), db.status(other)) == ("Active", "Active")
    assert db.last_run() == run
    assert db.revert(run.id, [other]) == {other: 0}
