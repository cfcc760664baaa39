"""An object of another role with the name of a platform table changes nothing, and none of its code runs."""

import re
from typing import Any

import psycopg
import pytest
from harness import OFF, Database, deploy, own_platform, owners, refused

AS_OF = "2026-03-02 12:00Z"

# code of another role, which records the role that executes it
EVIL = """
create function public.evil() returns timestamptz language plpgsql immutable as $$
begin
  perform set_config('test.executed_by', current_user, false);
  return null;
end $$;
create function public.evil_trigger() returns trigger language plpgsql as $$
begin
  perform public.evil();
  return new;
end $$;
"""
COHORTS = """
select 1 as id, 1 as class_id, 1 as program_id, 1 as facility_id, 'Scheduled'::public.class_status as status,
  date '2026-03-02' as start_dt, {evil} as archived_at, null::timestamptz as deleted_at,
  null::timestamptz as updated_at, null::integer as update_user_id
"""
PLANTED = {
    "a view": f"create view public.program_class_cohorts as {COHORTS}",
    "a table with one column": "create table public.program_class_cohorts (id integer)",
    "a whole table with triggers": (
        "create table public.program_class_cohorts (like public.program_classes including all);"
        "alter table public.program_class_cohorts add column class_id integer;"
        "create trigger evil before update on public.program_class_cohorts"
        " for each row execute function public.evil_trigger();"
        "insert into public.program_class_cohorts (id, program_id, facility_id, status, start_dt)"
        " values (7, 1, 1, 'Scheduled', '2026-03-02')"
    ),
    "a materialized view": f"create materialized view public.program_class_cohorts as {COHORTS} with no data",
    "a sequence": "create sequence public.program_class_cohorts",
    "a type": "create type public.program_class_cohorts as (id integer, status text)",
    "a change log": (
        "create table public.change_log_entries (id serial, table_name text, parent_ref_id integer,"
        " field_name text, old_value text, new_value text, created_at timestamptz, user_id integer);"
        "create trigger evil before insert on public.change_log_entries"
        " for each row execute function public.evil_trigger();"
        "grant insert on public.change_log_entries to public"
    ),
}
EXECUTED_BY = "select coalesce(current_setting('test.executed_by', true), '')"


def plant(db: Database, role: str, statement: str) -> None:
    """Let ROLE, which has no other right than on its own schema, create something in schema public."""
    db.execute(f"create schema planted authorization {role}")
    db.execute(f"grant create on schema public to {role}; grant references, select on {{classes}} to {role}")
    session = db.connect(user=role, password="secret")
    session.execute(EVIL + statement.replace("{evil}", "public.evil()"))
    if table := re.search(r"create (?:table|view|materialized view) (\S+)", statement):
        session.execute(f"grant select on {table[1]} to public")


def use(db: Database) -> dict[str, Any]:
    """Call everything and return the results, without times."""
    class_id = db.class_(name="Welding")
    db.enrollment(class_id)
    due = [row.due for row in db.preview().values()].count(True)
    activated = [(row.class_name, row.enrollments_backfilled) for row in db.run(AS_OF)]
    health = db.row("select status, overdue_classes, problem_classes from class_activation.health()")
    reverted = [outcome for outcome, _ in db.outcomes(db.last_run().id).values()]
    db.execute("select class_activation.release(%s)", class_id)
    db.run(AS_OF)
    return {"due": due, "activated": activated, "health": health, "reverted": reverted}


@pytest.mark.parametrize(
    "case", ["planted, superuser", "planted, role", "installed, superuser", "installed, role"]
)
@pytest.mark.parametrize("kind", PLANTED)
def test_planted_objects_are_ignored(platform: Database, role: str, other: str, kind: str, case: str) -> None:
    first, owner = case.split(", ")
    if owner == "role":
        own_platform(platform, role)
    if kind == "a change log":
        platform.execute("drop table public.change_log_entries")
    if first == "installed":
        deploy("upgrade", "head", database=platform.name, x=OFF)
        use(platform)
    plant(platform, other, PLANTED[kind])
    deploy("upgrade", "head", database=platform.name, x=OFF)

    assert use(platform) == {
        "due": 1,
        "activated": [("Welding", 1)],
        "reverted": ["reverted"],
        "health": ("ok", 0, 0),
    }
    findings = platform.findings().values()
    (named,) = [row for row in findings if other in row.detail]
    assert named.check_name == "planted"
    assert ("change_log_entries" if kind == "a change log" else "program_class_cohorts") in named.detail
    assert all(other not in row.fix for row in findings)
    assert platform.value(EXECUTED_BY) == ""
    assert owners(platform) == {role if owner == "role" else platform.value("select current_user")}
    table = "select indrelid::regclass::text from pg_index where indexrelid::regclass::text ~ 'due_idx'"
    assert platform.value(table) == "program_classes"

    deploy("downgrade", "base", database=platform.name)
    assert platform.value("select to_regnamespace('class_activation')") is None


# ways in which reading the new table of classes would execute code of its owner, and a plain table
TABLE = """
create table public.program_classes (id integer primary key, name text);
insert into public.program_classes values (4, 'Reading'), (5, 'Welding'), (6, 'Reading');
"""
TIERS = {
    "a view": "create view public.program_classes as select 5 as id, public.evil()::text as name",
    "a policy": TABLE + "alter table public.program_classes enable row level security;"
    "create policy evil on public.program_classes using (public.evil() is null)",
    "an index on an expression": TABLE + "create index on public.program_classes ((public.evil()))",
    "a partial index": TABLE + "create index on public.program_classes (id) where public.evil() is null",
    "a child": TABLE + "create table public.child () inherits (public.program_classes)",
    "a cast": (
        "create type public.evil_name as (name text);"
        "create function public.cast_evil(public.evil_name) returns text language plpgsql as"
        " $$ begin perform public.evil(); return 'evil'; end $$;"
        "create cast (public.evil_name as text) with function public.cast_evil(public.evil_name);"
        "create table public.program_classes (id integer, name public.evil_name);"
        "insert into public.program_classes select i, row('x')::public.evil_name from generate_series(1, 9) i"
    ),
    "a plain table": TABLE,
}


@pytest.mark.parametrize("tier", TIERS)
def test_names_are_read_only_if_that_runs_no_code(db: Database, other: str, tier: str) -> None:
    db.restructure()
    db.class_()
    db.execute("drop table public.program_classes cascade")
    plant(db, other, TIERS[tier])
    db.execute("update {classes} set class_id = 5")
    findings = db.findings()
    assert ("planted" in findings) == (tier == "a view")
    assert not any("ownership of public.program_classes" in row.detail for row in findings.values())

    names = [row.class_name for row in db.run(AS_OF)]
    assert names == (["Welding"] if tier == "a plain table" else [None])
    assert db.value(EXECUTED_BY) == ""


def test_of_two_trusted_tables_with_a_status_none_is_chosen(db: Database) -> None:
    class_id = db.class_()
    db.execute("create table public.program_class_cohorts (like public.program_classes including all)")
    for call in ("activate_scheduled_classes()", "preview()", "health()"):
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="both have a column status"):
            db.execute(f"select class_activation.{call}")
    assert "one table with the status" in refused(db)
    row = db.findings()["platform"]
    assert (row.level, "both have a column status" in row.detail) == ("error", True)
    assert db.status(class_id) == "Scheduled"

    db.execute("drop table public.program_class_cohorts")
    assert [row.class_id for row in db.run()] == [class_id]


def test_a_table_that_another_role_has_replaced_is_missing(db: Database, other: str) -> None:
    db.class_()
    db.execute("alter table public.users rename to people")
    users = (
        "create view public.users as select 1 as id, 'system_batch'::text as username, {evil} as deleted_at"
    )
    plant(db, other, users)
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match=r"has no table public\.users"):
        db.run(AS_OF)
    assert db.value(EXECUTED_BY) == ""
