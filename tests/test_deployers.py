"""Which roles may deploy, and deployments after a change of tables, roles or rights."""

import re
from collections.abc import Callable

import pytest
from container import container, needs_docker
from harness import OFF, Database, alembic, as_role, deploy, grant_ddl, objects, own_platform, owners, refused


def test_a_member_of_the_owner_may_deploy(platform: Database, role: str, other: str) -> None:
    own_platform(platform, role)
    platform.execute(f"grant {role} to {other}")
    platform.execute(f"revoke temporary on database {platform.name} from public")
    platform.execute("revoke select on pg_roles, pg_database, pg_settings from public")
    platform.execute(f"revoke create on schema public from {role}, public")
    platform.execute(f"revoke create on database {platform.name} from {role}")
    member = as_role(platform, other, *OFF)
    said = refused(platform, x=member)
    assert f"right of role {other} to create schemas in database {platform.name}" in said
    for deployer in (role, other):
        assert f"right of role {deployer} to create in schema public" in said
        grant_ddl(platform, deployer)
    bare = platform.catalog()
    editor = platform.connect(autocommit=False)
    editor.execute("update public.program_classes set capacity = 1")
    refused(platform, x=member)
    editor.rollback()

    for deployer in (other, role, other):
        deploy("upgrade", "head", database="nowhere", x=as_role(platform, deployer, *OFF))
        assert owners(platform) == {role}
        platform.execute("drop function class_activation.version()")
    deploy("upgrade", "head", database=platform.name, x=OFF)
    assert owners(platform) == {role}
    class_id = platform.class_()
    assert [row.class_id for row in platform.run()] == [class_id]

    deploy("downgrade", "base", database="nowhere", x=member)
    assert platform.catalog() == bare


def test_a_member_that_may_not_become_the_owner_is_refused(platform: Database, role: str, other: str) -> None:
    if platform.connection.info.server_version < 160000:
        pytest.skip("membership has options from PostgreSQL 16 on")
    own_platform(platform, role)
    platform.execute(f"grant {role} to {other} with inherit true, set false")
    grant_ddl(platform, other)

    said = refused(platform, x=as_role(platform, other, *OFF))

    assert f"membership of role {other} in role {role}" in said
    assert "with inherit and set" in said


@needs_docker
def test_a_superusers_job_that_pg_cron_would_not_run_is_refused() -> None:
    with container() as server:
        server.database().execute("alter system set cron.enable_superuser_jobs = off")
        server.restart()
        db = server.database()
        db.load_platform()
        bare = db.catalog()

        process = alembic("upgrade", "head", database=db.name, env=server.env)

        assert "without: cron.enable_superuser_jobs = on" in process.stderr
        assert db.catalog() == bare
        deploy("upgrade", "head", database=db.name, env=server.env, x=OFF)


def test_the_hint_follows_the_tables_to_a_new_owner(platform: Database, role: str, other: str) -> None:
    own_platform(platform, role)
    deploy("upgrade", "head", database=platform.name, x=OFF)
    own_platform(platform, other)
    said = refused(platform)
    assert f"belongs to role {role}" in said
    assert other not in said
    assert "alter schema class_activation owner to ROLE;" in said

    for schema in ("class_activation", "class_activation_internal"):
        platform.execute(f"alter schema {schema} owner to {other}")
    said = refused(platform, x=as_role(platform, other, *OFF))
    assert "Deploy as the owner of the platform's tables, or as a superuser" in said
    deploy("upgrade", "head", database=platform.name, x=OFF)

    assert owners(platform) == {other}
    deploy("downgrade", "base", database=platform.name, x=as_role(platform, other))


@pytest.mark.parametrize("deployer", ["superuser", "role"])
@pytest.mark.parametrize(
    "change",
    [
        "alter table {classes} rename to something_else",
        "drop table {classes} cascade",
        "alter table {classes} owner to {other}",
        "alter table public.program_class_enrollments rename to something_else",
        "create schema elsewhere; alter table public.facilities set schema elsewhere",
        "drop schema public cascade; create schema public; grant usage on schema public to public",
    ],
)
def test_without_the_platforms_tables_only_a_downgrade_works(
    platform: Database, role: str, other: str, deployer: str, change: str
) -> None:
    own_platform(platform, role)
    deploy("upgrade", "head", database=platform.name, x=OFF)
    platform.connection.execute(change.format(classes=platform.classes, other=other))
    x = as_role(platform, role, *OFF) if deployer == "role" else OFF

    reason = r"cannot be installed in database \w+ without: .*(table|ownership of) public\."
    if deployer == "superuser":  # to whom ROLE may be any role
        reason += f"|belongs to role {role}"
    assert re.search(reason, refused(platform, x=x))
    process = alembic("downgrade", "base", database=platform.name, x=x)

    assert (process.returncode, "removed class activation" in process.stderr) == (0, True), process.stderr
    left = [key for key in platform.catalog() if "class_activation" in key[1]]
    if "owner to" in change and deployer == "role":
        # which only the new owner of the table may drop
        assert "index public.class_activation_due_idx stays" in process.stderr
        left = [key for key in left if not key[1].startswith("class_activation_due_idx")]
    assert left == []


def test_a_superuser_calls_no_untrusted_function(platform: Database, role: str, other: str) -> None:
    own_platform(platform, role)
    deploy("upgrade", "head", database=platform.name, x=OFF)
    own_platform(platform, other)
    platform.connect(user=role, password="secret").execute(
        "create or replace function class_activation.unschedule() returns integer language plpgsql as"
        " $$ begin raise 'captured'; end $$;"
        "update class_activation.settings set job_username = current_user"
    )

    assert "Let that role remove the pg_cron job" in refused(platform, "downgrade", "base")
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
def test_a_superuser_runs_no_code_of_another_roles_schema(
    platform: Database, other: str, code: str, command: tuple[str, ...]
) -> None:
    platform.execute(f"grant create on database {platform.name} to {other}")
    platform.connect(user=other, password="secret").execute(f"create schema class_activation; {code}")

    assert f"belongs to role {other}" in refused(platform, *command)


# other types of columns, and of a table, that the job supports
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
def test_other_types_of_columns_are_supported(platform: Database, change: str) -> None:
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


def test_default_privileges_for_reading_stay(
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

    granted = {(row.kind, right) for row in objects(platform) for right in row.rights if role in right}
    reading = {"schema": "USAGE", "sequence": "SELECT", "table": "SELECT"}
    assert granted == {(kind, f"{right} to {role}") for kind, right in reading.items()}
    deploy("upgrade", "head", database=platform.name, x=OFF)
    assert "class_activation" in pg_dump(platform, "--schema-only", f"--role={role}")


def test_doctor_finds_a_role_whose_pg_dump_fails(
    pg_dump: Callable[..., str], db: Database, role: str
) -> None:
    assert "backup" not in db.findings()
    db.execute(f"grant select on all tables in schema public to {role}")
    db.execute(f"grant select on all sequences in schema public to {role}")
    row = db.findings()["backup"]
    assert (row.level, role in row.detail) == ("warning", True)

    db.execute(row.fix)

    assert "backup" not in db.findings()
    pg_dump(db, f"--role={role}")


def test_no_table_stops_pg_upgrade(db: Database) -> None:
    found = db.rows(
        "select attrelid::regclass, attname from pg_attribute a join pg_class c on c.oid = a.attrelid"
        " where c.relnamespace::regnamespace::text ~ '^class_activation' and format_type(atttypid, null)"
        " ~ 'aclitem|reg(collation|config|dictionary|namespace|oper|operator|proc|procedure)'"
    )
    assert found == []
