"""The platform restructured under a running installation: classes become cohorts, and nothing is deployed."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from harness import BATCH_USER, OFF, Database, alembic, deploy, own_platform, psql, url

AS_OF = "2026-03-02 12:00Z"
CHANGES = "select table_name, parent_ref_id, old_value, new_value from public.change_log_entries order by id"


def restructure(db: Database) -> None:
    """Run the platform's migration, so that no cohort and its class have the same id."""
    db.restructure()
    db.execute("select setval('public.program_classes_id_seq', 1000)")


def test_the_next_call_of_each_function_serves_the_new_shape(db: Database) -> None:
    held, broken = db.class_(), db.class_(db.facility("Mars/Phobos"))
    db.enrollment(held)
    db.run(AS_OF)
    db.execute("select class_activation.revert(1)")
    waiting = db.class_(name="Welding")
    pending = db.enrollment(waiting)

    restructure(db)

    rows = {row.class_id: row for row in db.rows("select * from class_activation.preview()")}
    assert (rows[waiting].class_name, rows[waiting].due, rows[waiting].enrollments_to_backfill) == (
        "Welding",
        True,
        1,
    )
    assert "on hold" in rows[held].problem
    assert "Mars/Phobos" in rows[broken].problem
    assert db.row("select * from class_activation.health()").overdue_classes == 1

    (activated,) = db.run()
    assert (activated.class_id, activated.class_name, activated.enrollments_backfilled) == (
        waiting,
        "Welding",
        1,
    )
    assert (db.status(waiting), db.status(held)) == ("Active", "Scheduled")
    assert db.enrolled_at(pending) is not None
    assert db.value("select class_id from class_activation.problems") == broken
    late = db.enrollment(waiting)
    db.run()
    assert db.enrolled_at(late) is not None

    failed = db.rows(
        "select check_name from class_activation.doctor() where level <> 'ok' and check_name !~ '^pg_cron'"
    )
    assert {row.check_name for row in failed} == {"problems", "ticks", "timezones"}
    outcome = db.row(
        "select * from class_activation.revert((select max(run_id) from class_activation.activations))"
    )
    assert outcome == (waiting, 2, 0, "reverted")
    # a decision that the platform's history tells under its new label
    db.execute("update {classes} set start_dt = '2026-03-05' where id = %s", held)
    db.execute("update {classes} set start_dt = '2026-03-02' where id = %s", held)
    assert [row.class_id for row in db.run()] == [held]


def test_what_was_activated_before_the_restructuring_is_taken_back_after_it(db: Database) -> None:
    class_id = db.class_()
    enrollment = db.enrollment(class_id)
    db.run()

    restructure(db)

    assert db.row("select * from class_activation.revert(1)") == (class_id, 1, 0, "reverted")
    assert (db.status(class_id), db.enrolled_at(enrollment)) == ("Scheduled", None)


def test_restructured_activated_and_back_again(db: Database) -> None:
    first = db.class_()
    db.run(AS_OF)
    restructure(db)
    second = db.class_()
    pending = db.enrollment(second)
    assert [row.class_id for row in db.run(AS_OF)] == [second]

    db.undo_restructuring()

    third, late = db.class_(), db.enrollment(first)
    assert [row.class_id for row in db.run(AS_OF)] == [third]
    assert db.enrolled_at(late) is not None
    assert db.row("select * from class_activation.revert(2)").outcome == "reverted"
    assert (db.status(second), db.enrolled_at(pending)) == ("Scheduled", None)
    assert {row.table_name for row in db.rows(CHANGES)} == {"program_classes"}


def test_enrollments_go_by_their_cohort_and_not_by_a_class_of_the_same_number(db: Database) -> None:
    classes = [db.class_() for _ in range(3)]
    db.restructure()
    tiers = {
        class_id: db.value("select class_id from {classes} where id = %s", class_id) for class_id in classes
    }
    due = classes[0]
    crossed = next(other for other in classes if tiers[other] == due)
    assert crossed != due
    db.execute("update {classes} set start_dt = '2999-01-01' where id <> %s", due)
    own, others = db.enrollment(due), db.enrollment(crossed)
    before = db.rows("select * from public.program_classes order by id")

    (activated,) = db.run()

    assert activated.enrollments_backfilled == 1
    assert (db.enrolled_at(own) is None, db.enrolled_at(others) is None) == (False, True)
    assert db.rows("select * from public.program_classes order by id") == before
    assert (
        db.value("select count(*) from public.program_classes_history where table_name = 'program_classes'")
        == 0
    )


@pytest.mark.parametrize("shape_of_the_test", ["classes", "cohorts"])
def test_each_activation_and_each_revert_is_one_entry_in_the_change_log(
    db: Database, shape_of_the_test: str
) -> None:
    if shape_of_the_test == "cohorts":
        restructure(db)
    class_id = db.class_()
    with db.connection.transaction():
        now = db.value("select now()")
        db.run()
    db.run()

    entry = db.row("select * from public.change_log_entries")._asdict()
    assert entry.pop("id") > 0
    assert entry == {
        "table_name": db.label,
        "parent_ref_id": class_id,
        "field_name": "status",
        "old_value": "Scheduled",
        "new_value": "Active",
        "created_at": now,
        "user_id": BATCH_USER,
    }
    db.execute("select class_activation.revert(1)")
    db.execute("select class_activation.revert(1)")
    assert db.rows(CHANGES) == [
        (db.label, class_id, "Scheduled", "Active"),
        (db.label, class_id, "Active", "Scheduled"),
    ]


def test_a_class_that_fails_leaves_no_entry_in_the_change_log(db: Database) -> None:
    db.class_()
    db.execute("alter table {classes} add constraint never check (status <> 'Active') not valid")
    assert db.run() == []
    assert db.rows(CHANGES) == []


def test_a_platform_from_before_the_change_log_does_without(platform: Database) -> None:
    platform.execute("drop table public.change_log_entries")
    deploy("upgrade", "head", database=platform.name, x=OFF)
    class_id = platform.class_()
    assert [row.class_id for row in platform.run()] == [class_id]
    assert platform.row("select * from class_activation.revert(1)").outcome == "reverted"


@pytest.mark.parametrize("way", ["online", "script"])
def test_it_installs_on_the_new_shape_and_leaves_it_as_it_was(
    platform: Database, db: Database, way: str
) -> None:
    def run(command: str, *arguments: str) -> None:
        if way == "online":
            deploy(command, arguments[0].split(":")[-1], database=platform.name, x=OFF)
        else:
            psql(platform, deploy(command, *arguments, "--sql", database="nowhere", x=OFF))

    restructure(platform)
    bare = platform.catalog()
    run("upgrade", "head")
    assert platform.value(
        "select indrelid::regclass::text from pg_index where indexrelid::regclass::text ~ 'due_idx'"
    ) == ("program_class_cohorts")
    class_id = platform.class_()
    assert [row.class_id for row in platform.run()] == [class_id]

    run("downgrade", "head:base")
    assert platform.catalog() == bare

    # and the other way round: installed before, removed after the restructuring
    platform.undo_restructuring()
    run("upgrade", "head")
    restructure(platform)
    assert deploy("upgrade", "head", database=platform.name) == ""
    run("downgrade", "head:base")
    assert platform.value("select to_regclass('public.class_activation_due_idx')") is None


def test_a_platform_of_neither_shape_is_refused_and_every_call_says_so(
    platform: Database, db: Database
) -> None:
    for database in (platform, db):
        database.class_()
        database.execute("alter table public.program_classes rename start_dt to begins_on")
    before = platform.catalog()

    process = alembic("upgrade", "head", database=platform.name, x=OFF)

    assert process.returncode != 0
    assert "column public.program_classes.start_dt" in process.stderr
    assert "two shapes of the platform" in process.stderr
    assert platform.catalog() == before
    for call in ("activate_scheduled_classes()", "preview()", "health()"):
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="two shapes") as error:
            db.execute(f"select class_activation.{call}")
        assert "class_activation.doctor()" in error.value.diag.message_hint
    row = db.row("select * from class_activation.doctor() where check_name = 'platform'")
    assert (row.level, "a version of class activation" in row.fix) == ("error", True)


@pytest.mark.parametrize(
    ("revoked", "named"),
    [
        ("revoke insert on public.change_log_entries from {role}", "to insert public.change_log_entries"),
        (
            "revoke usage on sequence public.change_log_entries_id_seq from {role}",
            "to use sequence public.change_log_entries_id_seq",
        ),
        ("revoke select on public.program_classes from {role}", "to select public.program_classes"),
        (
            "revoke update on public.program_class_enrollments from {role}",
            "to update public.program_class_enrollments",
        ),
    ],
)
def test_a_right_that_the_new_shape_needs_is_named(
    platform: Database, role: str, revoked: str, named: str
) -> None:
    restructure(platform)
    platform.execute(f"grant all on all tables in schema public to {role}")
    platform.execute(f"grant all on all sequences in schema public to {role}")
    platform.execute(f"grant create, usage on schema public to {role}")
    platform.execute(f"alter table {platform.classes} owner to {role}")
    platform.execute(revoked.format(role=role))

    process = alembic("upgrade", "head", database=platform.name, x=OFF)

    assert f"right of role {role} {named}" in process.stderr
    platform.execute(f"grant all on all tables in schema public to {role}")
    platform.execute(f"grant all on all sequences in schema public to {role}")
    deploy("upgrade", "head", database=platform.name, x=OFF)
    class_id = platform.class_()
    assert [row.class_id for row in platform.run()] == [class_id]


def test_a_tier_that_the_owner_may_not_read_costs_the_name_and_not_the_run(
    platform: Database, role: str
) -> None:
    own_platform(platform, role)
    deploy("upgrade", "head", database=platform.name, x=OFF)
    # by another role than the owner of the old table
    restructure(platform)
    assert (
        platform.value("select nspowner::regrole::text from pg_namespace where nspname = 'class_activation'")
        == role
    )
    class_id = platform.class_()

    (activated,) = platform.run()

    assert (activated.class_id, activated.class_name) == (class_id, None)
    detail = platform.value("select detail from class_activation.doctor() where check_name = 'platform'")
    assert f"right of role {role} to select public.program_classes" in detail


def test_restructured_while_callers_run_and_residents_are_enrolled(db: Database) -> None:
    classes = [db.class_() for _ in range(40)]
    users = [db.resident() for _ in range(40)]
    failures: list[psycopg.Error] = []

    def call() -> None:
        session = db.connect()
        for _ in range(60):
            try:
                session.execute("select class_activation.activate_scheduled_classes(p_max_classes => 1)")
                session.execute("select class_activation.preview()")
            except psycopg.Error as error:
                failures.append(error)

    def enroll() -> None:
        session = db.connect()
        for class_id, user in zip(classes, users, strict=True):
            try:
                with session.transaction():
                    key, tier = (
                        ("class_id", "") if shape(session) == "classes" else ("cohort_id", "class_id, ")
                    )
                    source = "program_classes" if key == "class_id" else "program_class_cohorts"
                    session.execute(
                        "insert into public.program_class_enrollments"
                        f" ({key}, {tier}user_id, enrollment_status)"
                        f" select id, {tier}%s, 'Enrolled' from public.{source} where id = %s",
                        [user, class_id],
                    )
            except (
                psycopg.errors.UndefinedColumn,
                psycopg.errors.NotNullViolation,
                psycopg.errors.DeadlockDetected,
            ):
                continue  # an application that was not restructured yet, or crossed with its own migration

    def shape(session: psycopg.Connection) -> str:
        (cohorts,) = session.execute(
            "select to_regclass('public.program_class_cohorts') is not null"
        ).fetchone()
        return "cohorts" if cohorts else "classes"

    with ThreadPoolExecutor(5) as threads:
        workers = [threads.submit(call) for _ in range(3)] + [threads.submit(enroll)]
        threads.submit(restructure, db).result()
        for worker in workers:
            worker.result()

    assert [error for error in failures if not isinstance(error, psycopg.errors.LockNotAvailable)] == []
    db.run()
    assert db.value("select count(*) from {classes} where status <> 'Active'") == 0
    assert db.value("select count(*) from public.program_class_enrollments where enrolled_at is null") == 0
    history = db.rows(
        "select parent_ref_id from public.program_classes_history where after_update ->> 'status' = 'Active'"
    )
    assert sorted(row.parent_ref_id for row in history) == classes


@pytest.mark.parametrize("as_role", [True, False])
def test_an_upgrade_after_the_restructuring_changes_nothing(
    platform: Database, role: str, as_role: bool
) -> None:
    own_platform(platform, role)
    options = [f"url={url(platform.name, user=role, password='secret')}", *OFF] if as_role else OFF
    deploy("upgrade", "head", database=platform.name, x=options)
    platform.connect(user=role, password="secret").execute("select 1")
    restructure(platform)
    platform.execute(f"grant select on public.program_classes to {role}")
    before = platform.catalog()

    process = alembic("upgrade", "head", database=platform.name, x=options)

    assert (process.returncode, "Replaced" in process.stderr) == (0, False), process.stderr
    assert platform.catalog() == before
