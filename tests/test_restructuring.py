"""The platform migrates to cohorts, and back, under a running installation; nothing is deployed."""

import psycopg
import pytest
from harness import BATCH_USER, OFF, Database, alembic, as_role, deploy, own_platform, owners, psql, refused

AS_OF = "2026-03-02 12:00Z"
CHANGES = "select table_name, parent_ref_id, old_value, new_value from public.change_log_entries order by id"


def test_the_next_call_of_each_function_supports_the_new_schema(db: Database) -> None:
    held, broken = db.class_(), db.class_(db.facility("Mars/Phobos"))
    db.enrollment(held)
    db.run(AS_OF)
    db.execute("select class_activation.revert(1)")
    waiting = db.class_(name="Welding")
    pending = db.enrollment(waiting)

    db.restructure()

    rows = db.preview()
    row = rows[waiting]
    assert (row.class_name, row.due, row.enrollments_to_backfill) == ("Welding", True, 1)
    assert "on hold" in rows[held].problem
    assert "Mars/Phobos" in rows[broken].problem
    assert db.health().overdue_classes == 1

    (row,) = db.run()
    assert (row.class_id, row.class_name, row.enrollments_backfilled) == (waiting, "Welding", 1)
    assert (db.status(waiting), db.status(held)) == ("Active", "Scheduled")
    assert db.enrolled_at(pending) is not None
    assert db.value("select class_id from class_activation.problems") == broken
    late = db.enrollment(waiting)
    db.run()
    assert db.enrolled_at(late) is not None
    db.execute("update public.program_class_enrollments set updated_at = now() where id = %s", late)

    assert set(db.findings(but="pg_cron")) == {"problems", "ticks", "timezones"}
    last_activation = "(select max(run_id) from class_activation.activations)"
    row = db.row(f"select * from class_activation.revert({last_activation})")
    assert row == (waiting, 1, 1, "reverted")
    # a change that was undone ends the hold: the platform's history has it under the new name of the table
    db.execute("update {classes} set start_dt = '2026-03-05' where id = %s", held)
    db.execute("update {classes} set start_dt = '2026-03-02' where id = %s", held)
    assert [row.class_id for row in db.run()] == [held]


def test_activations_are_reverted_after_either_migration(db: Database) -> None:
    first, reverted = db.class_(), db.class_()
    enrollment = db.enrollment(reverted)
    db.run(AS_OF)
    db.restructure()
    row = db.row(f"select * from class_activation.revert(1, array[{reverted}])")
    assert row == (reverted, 1, 0, "reverted")
    history = {row.class_id: row.reverted for row in db.call("history")}
    assert history == {first: False, reverted: True}
    assert (db.status(reverted), db.enrolled_at(enrollment)) == ("Scheduled", None)
    second = db.class_()
    pending = db.enrollment(second)
    assert [row.class_id for row in db.run(AS_OF)] == [second]

    db.undo_restructuring()

    third, late = db.class_(), db.enrollment(first)
    assert [row.class_id for row in db.run(AS_OF)] == [third]
    assert db.enrolled_at(late) is not None
    assert db.outcomes(3) == {second: ("reverted", 1)}
    assert (db.status(second), db.enrolled_at(pending)) == ("Scheduled", None)
    assert {row.table_name for row in db.rows(CHANGES)} == {"program_classes"}


def test_an_enrollment_counts_for_its_cohort_and_not_for_the_class_with_that_id(db: Database) -> None:
    due = db.class_()
    for _ in range(2):
        db.class_()
    db.restructure()
    crossed = db.value("select id from {classes} where class_id = %s and id <> class_id", due)
    db.execute("update {classes} set start_dt = '2999-01-01' where id <> %s", due)
    own, others = db.enrollment(due), db.enrollment(crossed)
    before = db.rows("select * from public.program_classes order by id")

    (activated,) = db.run()

    assert activated.enrollments_backfilled == 1
    assert (db.enrolled_at(own) is None, db.enrolled_at(others) is None) == (False, True)
    assert db.rows("select * from public.program_classes order by id") == before
    assert not db.rows("select from public.program_classes_history where table_name = 'program_classes'")


@pytest.mark.parametrize("cohorts", [False, True])
def test_each_activation_and_each_revert_is_one_entry_in_the_change_log(db: Database, cohorts: bool) -> None:
    if cohorts:
        db.restructure()
    class_id, failing = db.class_(), db.class_()
    never = f"check (status <> 'Active' or id <> {failing}) not valid"
    db.execute(f"alter table {{classes}} add constraint never {never}")
    with db.connection.transaction():
        now = db.value("select now()")
        db.run()
    db.run()

    entry = db.row("select * from public.change_log_entries")
    assert entry[1:] == (db.label, class_id, "status", "Scheduled", "Active", now, BATCH_USER)
    db.execute("select class_activation.revert(1)")
    db.execute("select class_activation.revert(1)")
    assert db.rows(CHANGES) == [
        (db.label, class_id, "Scheduled", "Active"),
        (db.label, class_id, "Active", "Scheduled"),
    ]


def test_a_platform_without_a_change_log_is_supported(platform: Database) -> None:
    platform.execute("drop table public.change_log_entries")
    deploy("upgrade", "head", database=platform.name, x=OFF)
    class_id = platform.class_()
    assert [row.class_id for row in platform.run()] == [class_id]
    assert platform.revert(1) == {class_id: 0}


@pytest.mark.parametrize("way", ["online", "script"])
def test_installing_on_cohorts_and_removing_leaves_them_unchanged(platform: Database, way: str) -> None:
    def run(command: str, *arguments: str) -> None:
        if way == "online":
            deploy(command, arguments[0].split(":")[-1], database=platform.name, x=OFF)
        else:
            psql(platform, deploy(command, *arguments, "--sql", database="nowhere", x=OFF))

    platform.restructure()
    bare = platform.catalog()
    run("upgrade", "head")
    table = "select indrelid::regclass::text from pg_index where indexrelid::regclass::text ~ 'due_idx'"
    assert platform.value(table) == "program_class_cohorts"
    class_id = platform.class_()
    assert [row.class_id for row in platform.run()] == [class_id]

    run("downgrade", "head:base")
    assert platform.catalog() == bare

    # installed before, removed after the migration
    platform.undo_restructuring()
    run("upgrade", "head")
    platform.restructure()
    run("downgrade", "head:base")
    assert platform.value("select to_regclass('public.class_activation_due_idx')") is None


def test_every_call_refuses_an_unknown_schema(db: Database) -> None:
    db.class_()
    db.execute("alter table public.program_classes rename start_dt to begins_on")
    for call in ("activate_scheduled_classes()", "preview()", "health()"):
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="two shapes") as error:
            db.execute(f"select class_activation.{call}")
        assert "class_activation.doctor()" in error.value.diag.message_hint
    row = db.findings()["platform"]
    assert (row.level, "a version of class activation" in row.fix) == ("error", True)


def test_missing_rights_on_cohorts_are_named(platform: Database, role: str) -> None:
    platform.restructure()
    grants = f"grant all on all tables in schema public to {role};"
    grants += f"grant all on all sequences in schema public to {role}"
    platform.execute(grants)
    platform.execute(f"grant create, usage on schema public to {role}")
    platform.execute(f"alter table {platform.classes} owner to {role}")
    rights = {
        "insert on public.change_log_entries": "insert public.change_log_entries",
        "usage on sequence public.change_log_entries_id_seq": "use sequence public.change_log_entries_id_seq",
        "select on public.program_classes": "select public.program_classes",
        "update on public.program_class_enrollments": "update public.program_class_enrollments",
    }
    for right in rights:
        platform.execute(f"revoke {right} from {role}")

    said = refused(platform)
    assert [named for named in rights.values() if f"right of role {role} to {named}" not in said] == []

    platform.execute(grants)
    deploy("upgrade", "head", database=platform.name, x=OFF)
    class_id = platform.class_()
    assert [row.class_id for row in platform.run()] == [class_id]


def test_names_that_the_owner_may_not_read_are_left_out(platform: Database, role: str) -> None:
    own_platform(platform, role)
    deploy("upgrade", "head", database=platform.name, x=OFF)
    # as another role than the owner of the old table
    platform.restructure()
    assert owners(platform) == {role}
    class_id = platform.class_(name="Welding")
    assert platform.preview()[class_id].class_name is None

    (activated,) = platform.run()

    assert (activated.class_id, activated.class_name) == (class_id, None)
    detail = platform.findings()["platform"].detail
    assert detail == f"missing: right of role {role} to select public.program_classes"
    platform.execute(f"grant select on public.program_classes to {role}")
    assert "platform" not in platform.findings()
    assert platform.value("select class_name from class_activation.history()") == "Welding"


@pytest.mark.parametrize("deployer", ["the owner", "a superuser"])
def test_an_upgrade_after_the_migration_changes_nothing(platform: Database, role: str, deployer: str) -> None:
    own_platform(platform, role)
    options = as_role(platform, role, *OFF) if deployer == "the owner" else OFF
    deploy("upgrade", "head", database=platform.name, x=options)
    platform.restructure()
    platform.execute(f"grant select on public.program_classes to {role}")
    before = platform.catalog()

    process = alembic("upgrade", "head", database=platform.name, x=options)

    assert (process.returncode, "Replaced" in process.stderr) == (0, False), process.stderr
    assert platform.catalog() == before
