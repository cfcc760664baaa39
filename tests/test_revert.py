"""revert(): undoing a run."""

import psycopg
import pytest
from harness import BATCH_USER, Database

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
    assert db.outcomes(run.id) == dict.fromkeys(classes, ("already reverted", 0))


def test_revert_undoes_only_the_given_classes(db: Database) -> None:
    first, second = db.class_(), db.class_()
    db.run(AS_OF)

    assert db.revert(db.last_run().id, [first]) == {first: 0}
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
def test_revert_leaves_a_changed_class_alone(db: Database, change: str) -> None:
    class_id = db.class_()
    enrollment = db.enrollment(class_id)
    db.run(AS_OF)
    run = db.last_run()
    db.execute(change)

    assert db.outcomes(run.id) == {class_id: ("changed since", 0)}
    assert db.enrolled_at(enrollment) is not None


def test_revert_leaves_changed_enrollments_alone(db: Database) -> None:
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

    assert db.revert(db.last_run().id) == {class_id: 1}
    assert db.enrolled_at(untouched) is None
    assert all(
        db.enrolled_at(enrollment) is not None for enrollment in (withdrawn, corrected, completed, before)
    )


def test_revert_skips_a_locked_class(db: Database) -> None:
    held, free = db.class_(), db.class_()
    db.run(AS_OF)
    editor = db.connect(autocommit=False)
    editor.execute(f"select from {db.classes} where id = %s for update", [held])

    assert db.outcomes(db.last_run().id) == {held: ("locked", 0), free: ("reverted", 0)}
    editor.rollback()
    assert db.status(held) == "Active"


@pytest.mark.parametrize("run_id", [None, 999])
def test_revert_rejects_a_missing_run(db: Database, run_id: int | None) -> None:
    with pytest.raises(psycopg.errors.NoDataFound, match="does not exist or cannot be reverted") as error:
        db.revert(run_id)
    assert "class_activation.runs" in error.value.diag.message_hint
    assert db.rows("select * from class_activation.runs") == []


def test_a_revert_cannot_be_reverted(db: Database) -> None:
    db.class_()
    db.run(AS_OF)
    db.revert(db.last_run().id)
    with pytest.raises(psycopg.errors.NoDataFound):
        db.revert(db.last_run().id)


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


@pytest.mark.parametrize(
    ("stamp", "table"),
    [
        *((stamp, "both") for stamp in STAMPS),
        *(("updated_at is the clock", t) for t in ("classes", "enrollments")),
    ],
)
def test_revert_recognizes_values_that_a_trigger_changed(db: Database, stamp: str, table: str) -> None:
    db.resident()
    class_id = db.class_(updated_at="2026-01-01")
    at_once, edited = (db.enrollment(class_id, updated_at="2026-01-01") for _ in range(2))
    db.execute(
        "create function public.stamp() returns trigger language plpgsql as"
        f" $$ begin {STAMPS[stamp]} return new; end $$"
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

    assert db.outcomes(run.id) == {class_id: ("reverted", 2)}
    assert (db.enrolled_at(at_once), db.enrolled_at(late)) == (None, None)
    assert db.enrolled_at(edited) is not None


def test_revert_clears_an_enrolled_at_that_a_trigger_rounded(db: Database) -> None:
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

    assert db.revert(run.id) == {class_id: 2}
    assert (db.enrolled_at(at_once), db.enrolled_at(late)) == (None, None)


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
    assert [(row.class_id, row.enrollments_backfilled) for row in db.run() if row.class_id == first] == [
        (first, 3)
    ]


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


def test_revert_leaves_changed_late_enrollments_alone(db: Database) -> None:
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

    assert db.revert(run.id) == {class_id: 1}
    assert [db.enrolled_at(at) is None for at in (untouched, corrected, withdrawn)] == [True, False, False]


def test_a_late_enrollment_belongs_to_the_newest_activation(db: Database) -> None:
    class_id = db.class_()
    db.run(AS_OF)
    first = db.last_run()
    db.enrollment(class_id)
    db.run()
    db.revert(first.id)
    db.execute("select class_activation.release(%s)", class_id)
    db.run()
    second = db.last_run()
    late = db.enrollment(class_id)
    db.run()

    assert db.outcomes(first.id) == {class_id: ("already reverted", 0)}
    assert db.enrolled_at(late) is not None
    assert db.outcomes(second.id) == {class_id: ("reverted", 2)}


@pytest.mark.parametrize("strength", ["key share", "share", "no key update", "update"])
@pytest.mark.parametrize("which", ["class", "enrollment", "late enrollment"])
def test_revert_skips_a_class_with_a_locked_row(db: Database, which: str, strength: str) -> None:
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

    found = db.outcomes(run.id)

    if strength == "key share":
        assert found == {class_id: ("reverted", 4), other: ("reverted", 0)}
        assert {db.enrolled_at(enrollment) for enrollment in enrollments} == {None}
    else:
        assert found == {class_id: ("locked", 0), other: ("reverted", 0)}
        assert None not in [db.enrolled_at(enrollment) for enrollment in enrollments]
        assert db.value("select c::text from {classes} c where id = %s", class_id) == before
        assert db.rows("select class_id from class_activation.holds") == [(other,)]
        session.rollback()
        assert db.outcomes(run.id) == {class_id: ("reverted", 4), other: ("already reverted", 0)}


def test_an_open_enrollment_does_not_stop_revert(db: Database) -> None:
    class_id = db.class_()
    db.run(AS_OF)
    run = db.last_run()
    autocommit, editor = db.connection, db.connect(autocommit=False)
    db.connection = editor
    db.enrollment(class_id)
    db.connection = autocommit

    assert db.outcomes(run.id) == {class_id: ("reverted", 0)}
    editor.commit()


def test_revert_returns_an_outcome_for_each_class(db: Database) -> None:
    taken, edited, locked, before, deleted = (db.class_() for _ in range(5))
    db.run(AS_OF)
    run = db.last_run()
    db.revert(run.id, [before])
    db.execute(f"update {db.classes} set capacity = 9, updated_at = now() where id = {edited}")
    db.execute(f"delete from {db.classes} where id = {deleted}")
    session = db.connect(autocommit=False)
    session.execute(f"select from {db.classes} where id = {locked} for update")

    assert db.outcomes(run.id) == {
        taken: ("reverted", 0),
        edited: ("changed since", 0),
        locked: ("locked", 0),
        before: ("already reverted", 0),
        deleted: ("changed since", 0),
    }
    # only reverted classes count as such
    last = db.last_run().id
    assert db.rows("select class_id from class_activation.activations where reverted_by = %s", last) == [
        (taken,)
    ]
    assert {row.class_id for row in db.rows("select class_id from class_activation.holds")} == {taken, before}
    assert db.rows("select * from class_activation.revert(%s, '{}')", run.id) == []


def test_a_revert_that_a_trigger_prevents_changes_nothing(db: Database) -> None:
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
        db.revert(run.id)

    assert (db.status(class_id), db.status(other)) == ("Active", "Active")
    assert db.last_run() == run
    assert db.revert(run.id, [other]) == {other: 0}
