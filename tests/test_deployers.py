"""Which roles may deploy, on which tables, and what becomes of it when tables, roles or rights change."""

import re
from collections.abc import Callable, Iterator

import pytest
from container import container, needs_docker
from harness import OFF, Database, alembic, deploy, own_platform, psql, url
from test_migrations import installed_objects

SUPERUSER = "select current_user"


@pytest.fixture
def other(server: Database, platform: Database, role: str) -> Iterator[str]:
    """The name of a second role; both own nothing afterwards."""
    name = f"{role}_other"
    server.execute(f"create role {name} login password 'secret'")
    yield name
    platform.reconnect()
    for database in (platform, server):
        database.execute(f"drop owned by {name} cascade")
    server.execute(f"drop role {name}")


def as_role(platform: Database, role: str) -> list[str]:
    """Return the options with which ROLE deploys."""
    return [f"url={url(platform.name, user=role, password='secret')}", *OFF]


def test_a_member_of_the_owner_may_deploy_again_and_again_and_after_an_error(
    platform: Database, role: str, other: str
) -> None:
    own_platform(platform, role)
    platform.execute(f"grant {role} to {other}; grant create on database {platform.name} to {other}")
    platform.execute(f"grant create on schema public to {other}")
    platform.execute(f"revoke temporary on database {platform.name} from public")
    bare = platform.catalog()
    editor = platform.connect(autocommit=False)
    editor.execute("update public.program_classes set capacity = 1")
    assert alembic("upgrade", "head", database="nowhere", x=as_role(platform, other)).returncode != 0
    editor.rollback()

    for deployer in (other, role, other):
        deploy("upgrade", "head", database="nowhere", x=as_role(platform, deployer))
        assert set(installed_objects(platform).values()) == {role}
        platform.execute("drop function class_activation.version()")
    deploy("upgrade", "head", database=platform.name, x=OFF)
    class_id = platform.class_()
    assert [row.class_id for row in platform.run()] == [class_id]

    deploy("downgrade", "base", database="nowhere", x=as_role(platform, other))
    assert platform.catalog() == bare


def test_a_member_that_may_not_become_the_owner_is_told_so(platform: Database, role: str, other: str) -> None:
    if platform.connection.info.server_version < 160000:
        pytest.skip("membership has options from PostgreSQL 16 on")
    own_platform(platform, role)
    platform.execute(f"grant {role} to {other} with inherit true, set false")
    platform.execute(f"grant create on database {platform.name} to {other}")
    platform.execute(f"grant create on schema public to {other}")

    process = alembic("upgrade", "head", database="nowhere", x=as_role(platform, other))

    assert f"membership of role {other} in role {role}" in process.stderr
    assert "with inherit and set" in process.stderr


@needs_docker
def test_a_superusers_job_that_pg_cron_would_not_run_is_refused_before_anything_is_done() -> None:
    with container() as server:
        server.database().execute("alter system set cron.enable_superuser_jobs = off")
        server.stop()
        server.start()
        db = server.database()
        db.load_platform()
        bare = db.catalog()

        process = alembic("upgrade", "head", database=db.name, env=server.env)

        assert "without: cron.enable_superuser_jobs = on" in process.stderr
        assert db.catalog() == bare
        deploy("upgrade", "head", database=db.name, env=server.env, x=OFF)


def test_where_the_views_of_roles_are_closed_a_plain_owner_deploys(platform: Database, role: str) -> None:
    own_platform(platform, role)
    platform.execute("revoke select on pg_roles, pg_database, pg_settings from public")
    deploy("upgrade", "head", database="nowhere", x=as_role(platform, role))
    deploy("downgrade", "base", database="nowhere", x=as_role(platform, role))


# what another role may make in public, where the platform has no table of that name
PLANTED = [
    "create table public.program_class_cohorts (id int, status text, start_dt date)",
    "create view public.program_class_cohorts as select 1 as id, 'Scheduled' as status",
    "create table public.program_class_cohorts (id int)",
]


@pytest.mark.parametrize("planted", PLANTED)
@pytest.mark.parametrize(
    "case", ["planted, superuser", "planted, role", "installed, superuser", "installed, role"]
)
def test_a_planted_table_of_cohorts_changes_nothing(
    platform: Database, role: str, other: str, planted: str, case: str
) -> None:
    first, owner = case.split(", ")
    if owner == "role":
        own_platform(platform, role)
    platform.execute(f"grant create on schema public to {other}")
    if first == "installed":
        deploy("upgrade", "head", database=platform.name, x=OFF)
    platform.connect(user=other, password="secret").execute(planted)

    said = alembic("upgrade", "head", database=platform.name, x=OFF).stderr

    assert ("installed" if first == "planted" else "nothing to do") in said
    assert set(installed_objects(platform).values()) == {
        role if owner == "role" else platform.value(SUPERUSER)
    }
    index = "select indrelid::regclass::text from pg_index where indexrelid::regclass::text ~ 'due_idx'"
    assert platform.value(index) == "program_classes"
    deploy("downgrade", "base", database=platform.name, x=OFF)


def test_two_tables_of_the_owner_that_carry_the_status_are_refused(platform: Database) -> None:
    platform.execute("create table public.program_class_cohorts (like public.program_classes)")
    process = alembic("upgrade", "head", database=platform.name, x=OFF)
    assert "SQLSTATE 55000" in process.stderr
    assert "one table with the status" in process.stderr


def test_tables_that_got_another_owner_are_followed_as_the_hint_says(
    platform: Database, role: str, other: str
) -> None:
    own_platform(platform, role)
    deploy("upgrade", "head", database=platform.name, x=OFF)
    own_platform(platform, other)
    process = alembic("upgrade", "head", database=platform.name, x=OFF)
    assert f"belongs to role {role}" in process.stderr
    assert other not in process.stderr

    hints = re.findall("(alter schema .*? owner to) ROLE;", process.stderr)
    assert hints
    for schema in ("class_activation", "class_activation_internal"):
        platform.execute(f"alter schema {schema} owner to {other}")
    process = alembic("upgrade", "head", database=platform.name, x=as_role(platform, other))
    assert "Deploy as the owner of the platform's tables, or as a superuser" in process.stderr
    deploy("upgrade", "head", database=platform.name, x=OFF)

    assert set(installed_objects(platform).values()) == {other}
    deploy("downgrade", "base", database=platform.name, x=as_role(platform, other))


@pytest.mark.parametrize("deployer", ["superuser", "role"])
@pytest.mark.parametrize(
    "change",
    [
        "alter table {classes} rename to something_else",
        "drop table {classes} cascade",
        "alter table {classes} owner to {other}",
        "alter table public.program_class_enrollments rename to something_else",
        "drop schema public cascade; create schema public; grant usage on schema public to public",
    ],
)
def test_a_downgrade_works_whatever_has_become_of_the_platform(
    platform: Database, role: str, other: str, deployer: str, change: str
) -> None:
    own_platform(platform, role)
    deploy("upgrade", "head", database=platform.name, x=OFF)
    platform.connection.execute(change.format(classes=platform.classes, other=other))

    x = as_role(platform, role) if deployer == "role" else OFF
    process = alembic("downgrade", "base", database=platform.name, x=x)

    assert (process.returncode, "removed class activation" in process.stderr) == (0, True), process.stderr
    left = [key for key in platform.catalog() if "class_activation" in key[1]]
    if "owner to" in change and deployer == "role":
        # which only the new owner of the table may drop
        assert "index public.class_activation_due_idx stays" in process.stderr
        left = [key for key in left if not key[1].startswith("class_activation_due_idx")]
    assert left == []


def test_a_superuser_calls_no_function_of_a_role_that_owns_no_table_of_classes(
    platform: Database, role: str, other: str
) -> None:
    own_platform(platform, role)
    deploy("upgrade", "head", database=platform.name, x=OFF)
    own_platform(platform, other)
    platform.connect(user=role, password="secret").execute(
        "create or replace function class_activation.unschedule() returns integer language plpgsql as"
        " $$ begin raise 'captured'; end $$;"
        "update class_activation.settings set job_username = current_user"
    )

    process = alembic("downgrade", "base", database=platform.name, x=OFF)
    assert "Let that role remove the pg_cron job" in process.stderr
    platform.execute("update class_activation.settings set job_username = null")
    deploy("downgrade", "base", database=platform.name, x=OFF)


@pytest.mark.parametrize(
    "code",
    [
        "create view class_activation.alembic_version as select '1.0.0' as version_num",
        "create table class_activation.alembic_version (version_num text);"
        "insert into class_activation.alembic_version values ('1.0.0');"
        "create rule run as on delete to class_activation.alembic_version do also select 1",
    ],
)
@pytest.mark.parametrize("command", [("upgrade", "head"), ("downgrade", "base"), ("current",)])
def test_a_superuser_runs_no_code_of_a_schema_that_another_role_has_made(
    platform: Database, other: str, code: str, command: tuple[str, ...]
) -> None:
    platform.execute(f"grant create on database {platform.name} to {other}")
    platform.connect(user=other, password="secret").execute(f"create schema class_activation; {code}")
    before = platform.catalog()

    process = alembic(*command, database=platform.name, x=OFF)

    assert f"belongs to role {other}" in process.stderr
    assert platform.catalog() == before


# columns that the job's statements can work with as well
SERVED = {
    "history of bigint": "alter table public.program_classes_history alter id type bigint",
    "citext": "create extension citext; alter table public.facilities alter timezone type citext",
    "char(n)": "alter table public.facilities alter timezone drop default, alter timezone type char(56)",
    "domain over text": (
        "create domain public.status as text; alter table {classes} alter status type public.status"
    ),
    "domain over the enum": (
        "create domain public.status as public.class_status;"
        "alter table {classes} alter status type public.status"
    ),
    "a partitioned table": (
        "alter table {classes} rename to one_partition;"
        "create table {classes} (like public.one_partition including all) partition by range (id);"
        "alter table {classes} attach partition public.one_partition default;"
    ),
}


@pytest.mark.parametrize("change", SERVED.values(), ids=SERVED)
def test_a_platform_whose_columns_have_other_types_is_served(platform: Database, change: str) -> None:
    platform.execute(change)
    bare = platform.catalog()
    deploy("upgrade", "head", database=platform.name, x=OFF)
    class_id = platform.class_(program_id=platform.program(), start_dt="2026-03-02")
    platform.enrollment(class_id) if "partition" not in change else None

    assert [row.class_id for row in platform.run()] == [class_id]
    assert platform.row("select outcome from class_activation.revert(1)").outcome == "reverted"
    assert platform.rows("select class_id from class_activation.preview() where due") == []
    assert "nothing to do" in alembic("upgrade", "head", database=platform.name, x=OFF).stderr
    deploy("downgrade", "base", database=platform.name)
    assert platform.catalog() == bare


@pytest.mark.parametrize("valid", [True, False])
def test_an_index_that_a_dba_has_prepared_is_taken_if_it_is_valid(
    platform: Database, db: Database, valid: bool
) -> None:
    platform.execute(
        "create index concurrently class_activation_due_idx on public.program_classes (status, start_dt)"
    )
    prepared = (
        "select indexrelid from pg_index where indexrelid = 'public.class_activation_due_idx'::regclass"
    )
    oid = platform.value(prepared)
    platform.execute("update pg_index set indisvalid = %s where indexrelid = %s", valid, oid)

    deploy("upgrade", "head", database=platform.name, x=OFF)

    assert (platform.value(prepared) == oid) == valid
    assert platform.catalog() == db.catalog()


def test_a_copy_of_schema_public_alone_is_installed_as_the_hint_says(
    db: Database, empty: Database, pg_dump: Callable[..., str]
) -> None:
    empty.execute("drop schema public")
    psql(empty, pg_dump(db, "--schema=public"))

    process = alembic("upgrade", "head", database=empty.name, x=OFF)

    (statement,) = re.findall("class_activation: (drop .*?;)", process.stderr)
    empty.execute(statement)
    deploy("upgrade", "head", database=empty.name, x=OFF)
    schema = ("schema", "public")
    assert {**empty.catalog(), schema: None} == {**db.catalog(), schema: None}


def test_default_privileges_for_reading_stay_and_a_backup_goes_on(
    pg_dump: Callable[..., str], platform: Database, role: str
) -> None:
    platform.execute(
        f"""
        alter default privileges grant usage, create on schemas to {role};
        alter default privileges grant all on tables to {role};
        alter default privileges grant all on sequences to {role};
        alter default privileges grant execute on functions to {role};
        grant select on all tables in schema public to {role};
        grant select on all sequences in schema public to {role};
        """
    )

    deploy("upgrade", "head", database=platform.name, x=OFF)

    granted = platform.rows(
        """
        select o.kind, a.privilege_type
        from class_activation_internal.objects() o, aclexplode(o.acl) a
        where a.grantee = %s::regrole
        group by 1, 2
        """,
        role,
    )
    assert sorted(granted) == [("schema", "USAGE"), ("sequence", "SELECT"), ("table", "SELECT")]
    deploy("upgrade", "head", database=platform.name, x=OFF)
    assert "class_activation" in pg_dump(platform, "--schema-only", f"--role={role}")
    platform.execute(f"drop owned by {role} cascade")


def test_a_role_that_could_dump_the_database_is_named_with_the_grants_that_it_needs(
    pg_dump: Callable[..., str], db: Database, role: str
) -> None:
    backup = "select level, detail, fix from class_activation.doctor() where check_name = 'backup'"
    assert db.row(backup).level == "ok"
    db.execute(f"grant select on all tables in schema public to {role}")
    db.execute(f"grant select on all sequences in schema public to {role}")
    row = db.row(backup)
    assert (row.level, role in row.detail) == ("warning", True)

    db.execute(row.fix)

    assert db.row(backup).level == "ok"
    pg_dump(db, f"--role={role}")
    db.execute(f"drop owned by {role}")


def test_no_table_stops_pg_upgrade(db: Database) -> None:
    types = "aclitem|reg(collation|config|dictionary|namespace|oper|operator|proc|procedure)"
    assert (
        db.rows(
            "select attrelid::regclass, attname from pg_attribute a join pg_class c on c.oid = a.attrelid"
            " where c.relnamespace::regnamespace::text ~ '^class_activation'"
            " and format_type(atttypid, null) ~ %s",
            types,
        )
        == []
    )
