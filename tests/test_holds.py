"""A reverted class is on hold until its date or status changes."""

import pytest
from harness import Database

AS_OF = "2026-03-02 12:00Z"


@pytest.fixture
def held(db: Database) -> int:
    """A class that was activated and reverted."""
    class_id = db.class_()
    for _ in range(9):
        db.execute("update {classes} set capacity = 1")
    db.run(AS_OF)
    assert db.revert(db.last_run().id) == {class_id: 0}
    return class_id


def test_a_reverted_class_is_not_activated_again(db: Database, held: int) -> None:
    # an edit of other columns makes no difference, with or without its entry in the history
    for edit in (
        "update {classes} set capacity = 9, updated_at = now()",
        "truncate public.program_classes_history",
        "update {classes} set end_dt = '2026-03-01'",
        "truncate public.program_classes_history restart identity",
    ):
        db.execute(edit)
        assert db.run() == []
    row = db.preview()[held]
    assert not row.due
    assert "change its start date or status" in row.problem
    assert f"select class_activation.release({held})" in row.problem
    assert db.health().overdue_classes == 0
    assert db.rows("select * from class_activation.problems") == []


NEW_DATE = "update {classes} set start_dt = '2026-03-05'"
SAME_DATE = "update {classes} set start_dt = '2026-03-02'"
PURGE = "truncate public.program_classes_history restart identity"


@pytest.mark.parametrize(
    "decision",
    [
        [NEW_DATE],
        [NEW_DATE, SAME_DATE],
        # in a transaction that began before the revert
        [NEW_DATE, SAME_DATE, "update public.program_classes_history set created_at = '2026-01-01'"],
        ["update {classes} set status = 'Cancelled'", "update {classes} set status = 'Scheduled'"],
        ["select class_activation.release(id) from {classes}"],
        # without an entry in the history
        ["set session_replication_role = replica", NEW_DATE, "set session_replication_role = origin"],
        [
            "delete from public.program_classes_history",
            NEW_DATE,
            "delete from public.program_classes_history",
        ],
        # with an entry whose id is lower than that of the revert
        [PURGE, NEW_DATE, SAME_DATE],
    ],
)
def test_a_new_date_or_status_releases_a_reverted_class(db: Database, held: int, decision: list[str]) -> None:
    for statement in decision:
        db.execute(statement)

    assert [row.class_id for row in db.run()] == [held]
    assert db.rows("select * from class_activation.holds") == []
    # and may be reverted again
    assert db.revert(db.last_run().id) == {held: 0}
    assert db.run() == []


def test_a_reverted_class_that_staff_start_is_left_alone(db: Database, held: int) -> None:
    db.execute("update {classes} set status = 'Active'")
    late = db.enrollment(held)

    db.run()

    assert db.enrolled_at(late) is None


@pytest.mark.parametrize("change", ["start_dt = '2999-01-01'", "start_dt = null", "status = 'Cancelled'"])
def test_a_hold_never_resumes(db: Database, held: int, change: str) -> None:
    db.execute(PURGE)
    db.execute(f"update {db.classes} set {change}")
    db.execute(PURGE)
    assert db.run(AS_OF) == []
    assert db.rows("select * from class_activation.holds") == []
    db.execute("update {classes} set start_dt = '2026-03-02', status = 'Scheduled'")
    db.execute(PURGE)

    assert [row.class_id for row in db.run()] == [held]
