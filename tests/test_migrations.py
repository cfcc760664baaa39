"""Installing, removing, and everything that can get into the way of either."""

import hashlib
import itertools
import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from harness import OFF, ROOT, Database, alembic, deploy, own_platform, psql, start_alembic, url
from psycopg.conninfo import make_conninfo

INDEX = "class_activation_due_idx"


def installed_objects(database: Database) -> dict[str, str]:
    """Return the owner of each object that is ours."""
    rows = database.rows(
        """
        select nspname::text as name, nspowner::regrole::text as owner from pg_namespace
        where nspname = 'class_activation'
        union all
        select oid::regclass::text, relowner::regrole::text from pg_class
        where relnamespace = 'class_activation'::regnamespace or relname = 'class_activation_due_idx'
        union all
        select oid::regprocedure::text, proowner::regrole::text from pg_proc
        where pronamespace = 'class_activation'::regnamespace or proname = 'activate_scheduled_classes'
        """
    )
    return {row.name: row.owner for row in rows}


def test_down_leaves_the_platform_exactly_as_it_was_and_up_again_gives_the_same(platform: Database) -> None:
    bare = platform.catalog()
    deploy("upgrade", "head", database=platform.name, x=OFF)
    installed = platform.catalog()
    platform.class_()
    platform.run()

    deploy("downgrade", "base", database=platform.name)
    assert platform.catalog() == bare

    deploy("upgrade", "head", database=platform.name, x=OFF)
    assert platform.catalog() == installed


def test_each_revision_undoes_precisely_what_it_did(platform: Database) -> None:
    revisions = sorted(path.name[:4] for path in (ROOT / "migrations/versions").glob("*.py"))
    deploy("upgrade", revisions[0], database=platform.name, x=OFF)
    for lower, upper in itertools.pairwise(revisions):
        before = platform.catalog()
        deploy("upgrade", upper, database=platform.name, x=OFF)
        deploy("downgrade", lower, database=platform.name, x=OFF)
        assert platform.catalog() == before, upper
        deploy("upgrade", upper, database=platform.name, x=OFF)


def test_a_script_leaves_the_same_catalog_as_an_online_install(
    platform: Database, db: Database, tmp_path: Path
) -> None:
    bare = platform.catalog()

    psql(platform, deploy("upgrade", "head", "--sql", database="nowhere", x=OFF))
    assert platform.catalog() == db.catalog()

    psql(platform, deploy("downgrade", "head:base", "--sql", database="nowhere", x=OFF))
    assert platform.catalog() == bare


def test_function_bodies_are_stored_byte_for_byte(db: Database) -> None:
    oldest_first = sorted((ROOT / "sql").glob("*.sql"), key=lambda path: (len(path.name), path.name))
    bodies = {
        re.search(r"create function (?:\w+\.)?(\w+)", sql)[1]: sql.split("$function$")[1]
        for sql in (path.read_text() for path in oldest_first)
        if "$function$" in sql
    }
    stored = db.rows(
        "select proname, prosrc from pg_proc"
        " where pronamespace = 'class_activation'::regnamespace or proname = 'activate_scheduled_classes'"
    )
    assert {row.proname: row.prosrc for row in stored} == bodies


def test_every_object_is_documented(db: Database) -> None:
    undocumented = db.rows(
        """
        select nspname::text as name, obj_description(oid, 'pg_namespace') as comment from pg_namespace
        where nspname = 'class_activation'
        union all
        select oid::regclass::text, obj_description(oid, 'pg_class') from pg_class
        where relnamespace = 'class_activation'::regnamespace or relname = 'class_activation_due_idx'
        union all
        select oid::regprocedure::text, obj_description(oid, 'pg_proc') from pg_proc
        where pronamespace = 'class_activation'::regnamespace or proname = 'activate_scheduled_classes'
        order by name
        """
    )
    # primary keys and an identity speak for themselves
    assert [row.name for row in undocumented if not row.comment] == [
        "class_activation.activations_pkey",
        "class_activation.alembic_version_pkc",
        "class_activation.held_back_pkey",
        "class_activation.problems_pkey",
        "class_activation.runs_id_seq",
        "class_activation.runs_pkey",
    ]


@pytest.mark.parametrize("command", [["upgrade", "head"], ["downgrade", "head:base"]])
def test_squawk_finds_nothing_in_the_script(command: list[str], tmp_path: Path) -> None:
    script = tmp_path / "script.sql"
    script.write_text(deploy(*command, "--sql", database="nowhere"))

    process = subprocess.run(
        [Path(sys.executable).parent / "squawk", "--config", ROOT / ".squawk.toml", script],
        capture_output=True,
        text=True,
        check=False,
    )

    assert process.returncode == 0, process.stdout


def test_the_wrong_database_is_refused_with_all_that_is_missing_and_nothing_is_left(
    server: Database, platform: Database
) -> None:
    platform.execute("drop table public.program_class_enrollments cascade")
    platform.execute("alter table public.facilities drop column timezone")
    platform.execute("alter table public.program_classes alter start_dt type timestamp")
    platform.execute("alter table public.program_classes alter status type text")
    platform.execute("drop type public.class_status")
    platform.execute("create type public.class_status as enum ('Planned', 'Active')")
    platform.execute(
        "alter table public.program_classes alter status type public.class_status using 'Active'"
    )
    before = platform.catalog()

    process = alembic("upgrade", "head", database=platform.name, x=OFF)

    assert process.returncode != 0
    for missing in (
        "table public.program_class_enrollments",
        "column public.facilities.timezone",
        "column public.program_classes.start_dt of its type (it is timestamp without time zone)",
        "label 'Scheduled' of type public.class_status",
        "Is this the database of the platform",
    ):
        assert missing in process.stderr
    assert "'Active' of" not in process.stderr
    assert platform.catalog() == before


@pytest.mark.parametrize(
    "loss", ["drop table class_activation.alembic_version", "delete from class_activation.alembic_version"]
)
def test_a_lost_revision_is_not_taken_for_none_and_the_hint_gives_it_back(
    platform: Database, loss: str
) -> None:
    bare = platform.catalog()
    deploy("upgrade", "head", database=platform.name, x=OFF)
    platform.execute(loss)
    before = platform.catalog()

    process = alembic("upgrade", "head", database=platform.name, x=OFF)

    assert process.returncode != 0
    assert "DROP" not in process.stderr
    assert platform.catalog() == before
    psql(platform, re.search("was lost: (.*)", process.stderr)[1])
    assert deploy("current", database=platform.name).startswith("0004")
    deploy("downgrade", "base", database=platform.name, x=OFF)
    assert platform.catalog() == bare


def test_a_released_file_is_not_edited() -> None:
    lines = (ROOT / "sql/released.sha256").read_text().splitlines()
    for released, name in (line.split() for line in lines):
        assert hashlib.sha256((ROOT / name).read_bytes()).hexdigest() == released, (
            f"{name} was released: leave it as it was, and see CONTRIBUTING.md, 'Change the function'"
        )


def test_a_new_version_of_a_function_keeps_owner_and_grants_there_and_back(
    platform: Database, role: str, tmp_path: Path
) -> None:
    for name in ("alembic.ini", "migrations", "sql"):
        subprocess.run(["cp", "-r", ROOT / name, tmp_path], check=True)
    v1 = (tmp_path / "sql/activate_scheduled_classes_v1.sql").read_text()
    (tmp_path / "sql/activate_scheduled_classes_v2.sql").write_text(v1.replace("'2s'", "'3s'"))
    revise = ["revision", "--rev-id", "9999", "--message", "wait longer"]
    deploy(*revise, database=platform.name, project=tmp_path)
    (revision,) = (tmp_path / "migrations/versions").glob("9999*.py")
    text = revision.read_text()
    for version in (2, 1):
        text = text.replace("    pass", f'    replace("activate_scheduled_classes_v{version}")', 1)
    revision.write_text(text)
    own_platform(platform, role)
    deploy("upgrade", "head", database=platform.name, x=OFF)
    platform.execute("grant execute on function public.activate_scheduled_classes to pg_monitor")
    before = platform.catalog()

    deploy("upgrade", "head", database=platform.name, x=OFF, project=tmp_path)
    changed = dict(platform.catalog().items() - before.items())
    deploy("downgrade", "-1", database=platform.name, x=OFF, project=tmp_path)

    ((name, definition),) = changed.items()
    assert "lock_timeout=3s" in definition
    assert definition.replace("3s", "2s") == before[name].replace("3s", "2s")
    assert platform.catalog() == before


def test_looking_at_the_revision_changes_nothing(platform: Database) -> None:
    before = platform.catalog()

    deploy("current", database=platform.name)
    deploy("history", database=platform.name)

    assert platform.catalog() == before


def test_two_deployers_at_once_both_end_well(platform: Database) -> None:
    deployers = [start_alembic("upgrade", "head", database=platform.name, x=OFF) for _ in range(3)]

    said = [deployer.communicate()[1] for deployer in deployers]

    assert [deployer.returncode for deployer in deployers] == [0, 0, 0], said
    assert platform.value("select count(*) from class_activation.alembic_version") == 1
    assert sum("Running upgrade  -> 0001" in text for text in said) == 1


@pytest.mark.parametrize(
    "at_work",
    [
        "lock table public.program_classes in access exclusive mode",
        # the build begins, waits for this transaction, gives up, and leaves an invalid index
        "update public.program_classes set capacity = 1",
    ],
)
def test_a_busy_table_makes_the_deployment_fail_cleanly_and_repeating_it_ends_well(
    platform: Database, db: Database, at_work: str
) -> None:
    editor = platform.connect(autocommit=False)
    editor.execute(at_work)

    process = alembic("upgrade", "head", database=platform.name, x=OFF)

    assert process.returncode != 0
    assert "repeat the command" in process.stderr
    assert "Traceback" not in process.stderr
    editor.rollback()
    deploy("upgrade", "head", database=platform.name, x=OFF)
    assert platform.catalog() == db.catalog()


def test_a_downgrade_removes_an_index_that_could_not_be_built(platform: Database) -> None:
    bare = platform.catalog()
    editor = platform.connect(autocommit=False)
    editor.execute("update public.program_classes set capacity = 1")
    assert alembic("upgrade", "head", database=platform.name, x=OFF).returncode != 0
    editor.rollback()

    deploy("downgrade", "base", database=platform.name, x=OFF)

    assert platform.catalog() == bare


def test_a_plain_owner_of_the_tables_can_install_and_remove_it(platform: Database, role: str) -> None:
    own_platform(platform, role)
    bare = platform.catalog()
    as_role = [f"url={url(platform.name, user=role, password='secret')}", *OFF]

    deploy("upgrade", "head", database="nowhere", x=as_role)

    assert set(installed_objects(platform).values()) == {role}
    class_id = platform.class_()
    assert [row.class_id for row in platform.run()] == [class_id]
    deploy("downgrade", "base", database="nowhere", x=as_role)
    assert platform.catalog() == bare


def test_whoever_installs_it_the_owner_of_the_tables_owns_it(platform: Database, role: str) -> None:
    own_platform(platform, role)

    deploy("upgrade", "head", database=platform.name, x=OFF)

    assert set(installed_objects(platform).values()) == {role}
    assert "class_activation.alembic_version" in installed_objects(platform)


def test_rights_that_are_missing_are_named(platform: Database, role: str) -> None:
    own_platform(platform, role)
    as_role = [f"url={url(platform.name, user=role, password='secret')}", *OFF]
    platform.execute("alter table public.facilities owner to current_user")
    platform.execute(f"revoke create on database {platform.name} from {role}")
    before = platform.catalog()

    process = alembic("upgrade", "head", database="nowhere", x=as_role)
    assert f"right of role {role} to create a schema in database {platform.name}" in process.stderr
    assert platform.catalog() == before

    platform.execute(f"grant create on database {platform.name} to {role}")
    process = alembic("upgrade", "head", database="nowhere", x=as_role)
    assert f"right of role {role} to select public.facilities" in process.stderr
    assert platform.catalog() == before


def test_the_platforms_next_migration_still_runs(db: Database) -> None:
    first = db.class_()
    db.enrollment(first)
    db.run()
    for statement in (
        "alter table public.program_classes alter column status type text",
        "alter table public.program_classes drop column instructor_name",
        "alter table public.program_class_enrollments drop column change_reason",
        "alter table public.facilities alter column timezone type text",
        "alter table public.program_classes rename column credit_hours to hours",
    ):
        db.execute(statement)
    as_text = db.class_()
    assert [row.class_id for row in db.run()] == [as_text]

    db.execute(
        "alter table public.program_classes"
        " alter column status type public.class_status using status::public.class_status"
    )
    as_enum = db.class_()
    assert [row.class_id for row in db.run()] == [as_enum]
    assert db.value(f"select indisvalid from pg_index where indexrelid = 'public.{INDEX}'::regclass")


def test_an_unknown_option_is_refused(platform: Database) -> None:
    process = alembic("upgrade", "head", database=platform.name, x=["shedule=off"])

    assert process.returncode != 0
    assert "unknown option -x shedule: there are url, schedule, cron_url" in process.stderr


@pytest.mark.parametrize("password", ["secret", "100%", "p%40:/?#&'\" "])
def test_the_url_comes_from_x_then_database_url_then_pg_variables(
    platform: Database, role: str, server: Database, password: str
) -> None:
    server.execute(
        psycopg.sql.SQL("alter role {} password {}").format(psycopg.sql.Identifier(role), password)
    )
    good, bad = url(platform.name, user=role, password=password), "postgresql://nobody@localhost:1/nowhere"

    def current(database: str, **env: str) -> int:
        return alembic(
            "current", database=database, x=[f"url={env.pop('x')}"] if "x" in env else [], env=env
        ).returncode

    assert current(platform.name) == 0
    assert current("nowhere") != 0
    assert current("nowhere", DATABASE_URL=good) == 0
    assert current("nowhere", DATABASE_URL=good.replace("postgresql:", "postgresql+psycopg:")) == 0
    assert current("nowhere", DATABASE_URL=bad, x=good) == 0
    assert current("nowhere", x=make_conninfo(good)) == 0
    assert current(platform.name, DATABASE_URL=good, x=bad) != 0
