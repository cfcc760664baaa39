"""What another role creates under a name of the platform changes nothing, and none of its code runs."""

import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from harness import OFF, Database, deploy, own_platform

AS_OF = "2026-03-02 12:00Z"

# a function of the planter that notes the role that executes it
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
# name of the table, and what makes it
PLANTED = {
    "a view": ("program_class_cohorts", f"create view public.program_class_cohorts as {COHORTS}"),
    "a table with one column": (
        "program_class_cohorts",
        "create table public.program_class_cohorts (id integer)",
    ),
    "a whole table with triggers": (
        "program_class_cohorts",
        "create table public.program_class_cohorts (like public.program_classes including all);"
        "alter table public.program_class_cohorts add column class_id integer;"
        "create trigger evil before update on public.program_class_cohorts"
        " for each row execute function public.evil_trigger();"
        "insert into public.program_class_cohorts (id, program_id, facility_id, status, start_dt)"
        " values (7, 1, 1, 'Scheduled', '2026-03-02')",
    ),
    "a materialized view": (
        "program_class_cohorts",
        f"create materialized view public.program_class_cohorts as {COHORTS} with no data",
    ),
    "a sequence": ("program_class_cohorts", "create sequence public.program_class_cohorts"),
    "a type": (
        "program_class_cohorts",
        "create type public.program_class_cohorts as (id integer, status text)",
    ),
    "a change log": (
        "change_log_entries",
        "create table public.change_log_entries (id serial, table_name text, parent_ref_id integer,"
        " field_name text, old_value text, new_value text, created_at timestamptz, user_id integer);"
        "create trigger evil before insert on public.change_log_entries"
        " for each row execute function public.evil_trigger();"
        "grant insert on public.change_log_entries to public",
    ),
}


EXECUTED_BY = "select coalesce(current_setting('test.executed_by', true), '')"


@pytest.fixture
def planter(server: Database) -> Iterator[str]:
    """A role that may create in public and nothing else; the databases of the test are gone before it is."""
    name = f"class_activation_test_planter_{uuid.uuid4().hex[:8]}"
    server.execute(f"create role {name} login password 'secret'")
    yield name
    server.execute(f"drop role {name}")


def plant(db: Database, planter: str, kind: str) -> None:
    """Let a role with no other right create in public what could be taken for the platform's."""
    db.execute(
        f"grant create on schema public to {planter}; grant references, select on {{classes}} to {planter}"
    )
    name, statement = PLANTED[kind]
    session = db.connect(user=planter, password="secret")
    session.execute(EVIL)
    session.execute(statement.format(evil="public.evil()"))
    if "view" in statement or "table" in statement:
        session.execute(f"grant select on public.{name} to public")


def use(db: Database) -> dict[str, Any]:
    """Call everything and return what it says, without times."""
    class_id = db.class_(name="Welding")
    db.enrollment(class_id)
    ids = [row.class_id for row in db.rows("select * from class_activation.preview() where due")]
    activated = [(row.class_name, row.enrollments_backfilled) for row in db.run(AS_OF)]
    health = db.row("select status, overdue_classes, problem_classes from class_activation.health()")
    run_id = db.last_run().id
    reverted = db.rows("select outcome from class_activation.revert(%s)", run_id)
    db.execute("select class_activation.release(%s)", class_id)
    db.run(AS_OF)
    return {"due": len(ids), "activated": activated, "health": health, "reverted": reverted}


@pytest.mark.parametrize(
    ("owner", "installed"), [("a superuser", "before"), ("a superuser", "after"), ("a plain role", "after")]
)
@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_object_changes_nothing(  # noqa: PLR0917
    planter: str, platform: Database, role: str, kind: str, installed: str, owner: str
) -> None:
    if owner == "a plain role":
        own_platform(platform, role)
    if kind == "a change log":
        platform.execute("drop table public.change_log_entries")
    if installed == "before":
        deploy("upgrade", "head", database=platform.name, x=OFF)
        use(platform)
        plant(platform, planter, kind)
    else:
        plant(platform, planter, kind)
        deploy("upgrade", "head", database=platform.name, x=OFF)
    found = use(platform)
    assert found == {
        "due": 1,
        "activated": [("Welding", 1)],
        "reverted": [("reverted",)],
        "health": ("ok", 0, 0),
    }

    said = platform.rows("select * from class_activation.doctor() where level <> 'ok'")
    named = [row for row in said if planter in row.detail]
    assert [row.check_name for row in named] == ["planted"]
    assert PLANTED[kind][0] in named[0].detail
    assert all(planter not in (row.fix or "") for row in said)
    assert platform.value(EXECUTED_BY) == ""

    deploy("upgrade", "head", database=platform.name, x=OFF)
    owners = platform.rows(
        "select distinct relowner::regrole::text from pg_class"
        " where relnamespace = 'class_activation'::regnamespace"
    )
    assert owners == [(role if owner == "a plain role" else platform.value("select current_user::text"),)]
    deploy("downgrade", "base", database=platform.name)
    assert platform.value("select to_regnamespace('class_activation')") is None


# what the owner of the new tier could let a reader execute
TIERS = {
    "a view": "create view public.program_classes as select 1 as id, public.evil()::text as name",
    "a policy": (
        "create table public.program_classes (id integer, name text);"
        "alter table public.program_classes enable row level security;"
        "create policy evil on public.program_classes using (public.evil() is null)"
    ),
    "an index on an expression": (
        "create table public.program_classes (id integer, name text);"
        "create index on public.program_classes ((public.evil()))"
    ),
    "a cast": (
        "create type public.evil_name as (name text);"
        "create function public.cast_evil(public.evil_name) returns text language plpgsql as"
        " $$ begin perform public.evil(); return 'evil'; end $$;"
        "create cast (public.evil_name as text) with function public.cast_evil(public.evil_name);"
        "create table public.program_classes (id integer, name public.evil_name);"
        "insert into public.program_classes select i, row('x')::public.evil_name from generate_series(1, 9) i"
    ),
}


@pytest.mark.parametrize("tier", [*TIERS, "a plain table"])
def test_names_are_read_from_a_tier_of_another_role_only_if_that_runs_none_of_its_code(
    planter: str, db: Database, tier: str
) -> None:
    db.restructure()
    db.class_()
    db.execute("alter table {classes} drop constraint program_class_cohorts_class_parent_fkey")
    db.execute(
        "alter table public.program_class_enrollments drop constraint if exists"
        " program_class_enrollments_class_id_fkey"
    )
    db.execute("drop table public.program_classes cascade")
    db.execute(f"grant create on schema public to {planter}")
    session = db.connect(user=planter, password="secret")
    session.execute(EVIL)
    session.execute(
        TIERS.get(
            tier,
            "create table public.program_classes (id integer, name text);"
            "insert into public.program_classes select i, 'Welding' from generate_series(1, 9) i",
        )
    )
    session.execute("grant select on public.program_classes to public")
    db.execute("update {classes} set class_id = 5")

    names = [row.class_name for row in db.run(AS_OF)]
    assert names == (["Welding"] if tier == "a plain table" else [None])
    assert db.value(EXECUTED_BY) == ""


@pytest.mark.parametrize("kind", ["a leftover", "an expanding migration"])
def test_of_two_trusted_tables_with_a_status_none_is_chosen(db: Database, kind: str) -> None:
    class_id = db.class_()
    db.execute("create table public.program_class_cohorts (like public.program_classes including all)")
    for call in ("activate_scheduled_classes()", "preview()", "health()"):
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="both have a column status"):
            db.execute(f"select class_activation.{call}")
    row = db.row("select * from class_activation.doctor() where check_name = 'platform'")
    assert (row.level, "both have a column status" in row.detail) == ("error", True)
    assert db.status(class_id) == "Scheduled"

    db.execute("drop table public.program_class_cohorts")
    assert [row.class_id for row in db.run()] == [class_id]


def test_a_table_of_the_platform_that_another_role_has_replaced_is_missing(
    planter: str, db: Database
) -> None:
    db.class_()
    db.execute(f"alter table public.users rename to people; grant create on schema public to {planter}")
    db.connect(user=planter, password="secret").execute(
        EVIL + "create view public.users as"
        " select 1 as id, 'system_batch'::text as username, public.evil() as deleted_at"
    )
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match=r"has no table public\.users"):
        db.run(AS_OF)
    assert db.value(EXECUTED_BY) == ""
