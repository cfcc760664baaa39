"""A reverted class is on hold until its date or status changes."""

import pytest
from harness import Database

AS_OF = "2026-03-02 12:00Z"


def test_a_reverted_class_is_not_activated_again(db: Database) -> None:
    class_id = db.class_()
    db.run(AS_OF)
    db.revert(db.last_run().id)
    db.execute("update {classes} set capacity = 9, updated_at = now()")

    assert db.run() == []
    row = db.preview()[class_id]
    assert not row.due
    assert f"select class_activation.release({class_id})" in row.problem
    assert db.health().overdue_classes == 0
    assert db.rows("select * from class_activation.problems") == []


@pytest.mark.parametrize(
    "decision",
    [
        ["update {classes} set start_dt = '2026-03-05'"],
        [
            "update {classes} set start_dt = '2026-03-05'",
            "update {classes} set start_dt = '2026-03-02'",
        ],
        [
            "update {classes} set status = 'Cancelled'",
            "update {classes} set status = 'Scheduled'",
        ],
        ["select class_activation.release(id) from {classes}"],
        # without a trace in the history
        [
            "set session_replication_role = replica",
            "update {classes} set start_dt = '2026-03-05'",
        ],
        [
            "truncate public.program_classes_history",
            "update {classes} set start_dt = '2026-03-05'",
            "truncate public.program_classes_history",
        ],
    ],
)
def test_a_new_date_or_status_releases_a_reverted_class(db: Database, decision: list[str]) -> None:
    class_id = db.class_()
    db.run(AS_OF)
    db.revert(db.last_run().id)

    for statement in decision:
        db.execute(statement)

    assert [row.class_id for row in db.run()] == [class_id]
    assert db.rows("select * from class_activation.holds") == []
    # and may be reverted again
    assert db.revert(db.last_run().id) == {class_id: 0}
    assert db.run() == []


def test_a_reverted_class_that_staff_start_is_left_alone(db: Database) -> None:
    class_id = db.class_()
    db.run(AS_OF)
    db.revert(db.last_run().id)
    db.execute("update {classes} set status = 'Active'")
    late = db.enrollment(class_id)

    db.run()

    assert db.enrolled_at(late) is None


PURGES = {
    "purged": "delete from public.program_classes_history",
    "truncated": "truncate public.program_classes_history",
    "truncated, and its ids restart": "truncate public.program_classes_history restart identity",
    "not written": "alter table {classes} disable trigger user",
}


@pytest.mark.parametrize(
    ("purge", "change", "released"),
    [
        *((purge, "start_dt = '2026-03-01'", True) for purge in PURGES.values()),
        (PURGES["truncated"], "start_dt = null", False),
        (PURGES["truncated"], "status = 'Cancelled'", False),
        (PURGES["truncated"], "capacity = 9, updated_at = now()", False),
        (PURGES["not written"], "end_dt = '2026-03-01'", False),
    ],
)
def test_a_hold_does_not_need_the_history_of_the_platform(
    db: Database, purge: str, change: str, released: bool
) -> None:
    class_id = db.class_()
    for _ in range(3):
        db.execute("update {classes} set capacity = 1")
    db.run(AS_OF)
    db.revert(db.last_run().id)
    db.execute(purge)
    assert db.run() == []

    db.execute(f"update {db.classes} set {change}")
    db.execute(purge)

    assert [row.class_id for row in db.run()] == ([class_id] if released else [])
    assert (db.rows("select * from class_activation.holds") != []) == (change[:4] in ("capa", "end_"))


def test_an_undone_change_releases_a_hold_after_the_ids_of_the_history_restart(db: Database) -> None:
    class_id = db.class_()
    for _ in range(9):
        db.execute("update {classes} set capacity = 1")
    db.run(AS_OF)
    db.revert(db.last_run().id)
    db.execute("truncate public.program_classes_history restart identity")

    for start_dt in ("2026-03-05", "2026-03-02"):
        db.execute("update {classes} set start_dt = %s", start_dt)

    assert [row.class_id for row in db.run()] == [class_id]


def test_a_hold_never_resumes(db: Database) -> None:
    class_id = db.class_()
    db.run(AS_OF)
    db.revert(db.last_run().id)
    db.execute("update {classes} set start_dt = '2999-01-01'")
    db.run(AS_OF)
    db.execute("update {classes} set start_dt = '2026-03-02'")
    db.execute("truncate public.program_classes_history")

    assert [row.class_id for row in db.run()] == [class_id]
