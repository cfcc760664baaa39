"""Installing, removing, and everything that can get into the way of either."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from harness import OFF, ROOT, Database, alembic, deploy, own_platform, psql, url
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL

INDEX = "class_activation_due_idx"


def installed_objects(database: Database) -> dict[str, str]:
    """Return the owner of each object of class activation."""
    rows = database.rows(
        """
        select nspname::text as name, nspowner::regrole::text as owner from pg_namespace
        where nspname = 'class_activation'
        union all
        select oid::regclass::text, relowner::regrole::text from pg_class
        where relnamespace = 'class_activation'::regnamespace or relname = 'class_activation_due_idx'
        union all
        select oid::regprocedure::text, proowner::regrole::text from pg_proc
        where pronamespace::regnamespace::text ~ '^class_activation' or proname = 'activate_scheduled_classes'
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


def test_a_script_leaves_the_same_catalog_as_an_online_install(
    platform: Database, db: Database, tmp_path: Path
) -> None:
    bare = platform.catalog()

    psql(platform, deploy("upgrade", "head", "--sql", database="nowhere", x=OFF))
    assert platform.catalog() == db.catalog()

    psql(platform, deploy("downgrade", "head:base", "--sql", database="nowhere", x=OFF))
    assert platform.catalog() == bare


def test_function_bodies_are_stored_byte_for_byte(db: Database) -> None:
    bodies = {
        re.search(r"create or replace function ([\w.]+)", sql)[1]: sql.split("$function$")[1]
        for sql in (path.read_text() for path in (ROOT / "sql").glob("*/*.sql"))
    }
    stored = db.rows(
        "select format('%s.%s', pronamespace::regnamespace, proname) as name, prosrc from pg_proc"
        " where pronamespace::regnamespace::text ~ '^class_act' or proname = 'activate_scheduled_classes'"
    )
    assert {row.name: row.prosrc for row in stored} == bodies


def test_every_object_is_documented(db: Database) -> None:
    undocumented = db.rows(
        """
        select nspname::text as name, obj_description(oid, 'pg_namespace') as comment from pg_namespace
        where nspname ~ '^class_activation'
        union all
        select oid::regclass::text, obj_description(oid, 'pg_class') from pg_class
        where relnamespace = 'class_activation'::regnamespace or relname = 'class_activation_due_idx'
        union all
        select oid::regprocedure::text, obj_description(oid, 'pg_proc') from pg_proc
        where pronamespace::regnamespace::text ~ '^class_activation' or proname = 'activate_scheduled_classes'
        order by name
        """
    )
    # primary keys and an identity speak for themselves
    assert [row.name for row in undocumented if not row.comment] == [
        "class_activation.activations_pkey",
        "class_activation.alembic_version_pkc",
        "class_activation.holds_pkey",
        "class_activation.installed_objects_pkey",
        "class_activation.problems_pkey",
        "class_activation.runs_pkey",
        "class_activation.settings_pkey",
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
        "column public.program_classes.start_dt as date (it is timestamp without time zone)",
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
    psql(platform, re.search("restore the row: (.*)", process.stderr)[1])
    assert deploy("current", database=platform.name).startswith("1.0.0")
    deploy("downgrade", "base", database=platform.name, x=OFF)
    assert platform.catalog() == bare


def test_sql_holds_only_what_can_be_applied_again_and_again() -> None:
    for path in (ROOT / "sql").rglob("*.sql"):
        without_bodies = re.sub(
            r"(?s)\$function\$.*?\$function\$|'(?:[^']|'')*'|--[^\n]*", "", path.read_text()
        )
        for statement in without_bodies.split(";"):
            assert re.match(r"\s*(create or replace function|comment on|$)", statement), path
        if path.name != "tables.sql":
            function = re.search(r"create or replace function ([\w.]+)", without_bodies)[1]
            assert path.stem in (function.split(".")[1], function.replace(".", "_")), path
            assert [function in s for s in without_bodies.split(";")] == [True, True, False], path


def test_an_upgrade_at_head_writes_nothing(platform: Database) -> None:
    deploy("upgrade", "head", database=platform.name, x=OFF)
    tables = ("pg_proc", "pg_description", "class_activation.installed_objects")
    rows = " union all ".join(
        [f"select xmin, ctid, '{table}' from {table}" for table in tables]
        # not the schema of the deployment's temporary table
        + ["select xmin, ctid, nspname from pg_namespace where nspname !~ '^pg_'"]
    )
    platform.wait_until_alone()
    before = sorted(map(str, platform.rows(rows)))

    process = alembic("upgrade", "head", database=platform.name)

    assert (process.returncode, "INFO nothing to do" in process.stderr) == (0, True), process.stderr
    platform.wait_until_alone()
    assert sorted(map(str, platform.rows(rows))) == before


INDEX_OID = "'public.class_activation_due_idx'::regclass"

# what was changed by hand, and what the upgrade says of it
DRIFT = {
    "create or replace function class_activation.version() returns text language sql as $$ select '0' $$": (
        "replaced function class_activation.version"
    ),
    "drop function class_activation.health; create function class_activation.health(p_not_before time"
    " default null, p_grace interval default '1 hour') returns int language sql as $$ select 1 $$;"
    "revoke execute on function class_activation.health from public;"
    "grant execute on function class_activation.health to {role}": (
        "replaced function class_activation.health"
    ),
    "alter function class_activation.health(time, interval) security invoker": (
        "replaced function class_activation.health"
    ),
    "alter function class_activation.preview(timestamptz, time) reset all": (
        "replaced function class_activation.preview"
    ),
    "alter function class_activation.batch_user() volatile": "replaced function class_activation.batch_user",
    "alter function class_activation.doctor() owner to {role}": "replaced function class_activation.doctor",
    "comment on function class_activation.doctor() is null": "replaced function class_activation.doctor",
    "grant execute on function class_activation.doctor() to public": (
        "replaced function class_activation.doctor"
    ),
    "drop function class_activation_internal.run_in_batches": (
        "created function class_activation_internal.run_in_batches"
    ),
    "drop function public.activate_scheduled_classes(timestamptz, time, integer)": (
        "created function public.activate_scheduled_classes"
    ),
    "comment on table class_activation.runs is 'mine'": "replaced comments on class_activation.runs",
    "revoke usage on schema class_activation from public": "replaced schema class_activation",
    "drop index public.class_activation_due_idx": "created index public.class_activation_due_idx",
    f"update pg_index set indisvalid = false where indexrelid = {INDEX_OID}": (
        "replaced index public.class_activation_due_idx"
    ),
}


def heal(db: Database, role: str, drift: str, upgrade: Callable[[], str]) -> None:
    """Change something by hand, and let the doctor find it and UPGRADE repair it."""
    db.execute(f"grant execute on function class_activation.health to {role}")
    before = db.catalog()
    db.execute(drift.format(role=role))
    assert db.rows(
        "select from class_activation.doctor() where check_name !~ 'pg_cron|ticks' and level = 'error'"
    )

    assert DRIFT[drift] in upgrade()

    assert db.catalog() == before
    assert (
        db.rows(
            "select * from class_activation.doctor() where check_name !~ 'pg_cron|ticks' and level <> 'ok'"
        )
        == []
    )
    db.execute(f"drop owned by {role}")


@pytest.mark.parametrize("drift", DRIFT)
def test_what_was_changed_by_hand_is_found_by_doctor_and_repaired_by_the_next_upgrade(
    db: Database, role: str, drift: str
) -> None:
    heal(db, role, drift, lambda: alembic("upgrade", "head", database=db.name).stderr)


def test_a_function_that_left_the_tree_is_dropped_and_one_of_another_author_is_named(
    db: Database, tmp_path: Path
) -> None:
    for name in ("alembic.ini", "migrations", "sql"):
        subprocess.run(["cp", "-r", ROOT / name, tmp_path], check=True)
    (tmp_path / "sql/operate/gone.sql").write_text(
        "create or replace function class_activation.gone() returns int language plpgsql as"
        " $function$ begin return 1; end $function$;\n"
        "revoke execute on function class_activation.gone() from public;\n"
        "comment on function class_activation.gone() is 'gone';\n"
    )
    before = db.catalog()
    deploy("upgrade", "head", database=db.name, project=tmp_path)
    assert db.value("select class_activation.gone()") == 1
    db.execute("create function class_activation.mine() returns int language sql as 'select 1'")

    process = alembic("upgrade", "head", database=db.name)

    assert "dropped function class_activation.gone()" in process.stderr
    assert db.value("select class_activation.mine()") == 1
    row = db.row("select * from class_activation.doctor() where check_name = 'installation'")
    assert (row.level, row.detail) == ("warning", "not of class activation: function class_activation.mine()")
    db.execute("drop function class_activation.mine()")
    assert db.catalog() == before


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


def test_the_owner_of_the_tables_owns_it_no_matter_which_role_installs(platform: Database, role: str) -> None:
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
    assert f"right of role {role} to create schemas in database {platform.name}" in process.stderr
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
        psycopg.sql.SQL("alter role {} password {}")
        .format(psycopg.sql.Identifier(role), password)
        .as_string(None)
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


# what a role or a database may have set for all of its sessions
MODES = [
    "statement_timeout = '20ms'",
    "idle_in_transaction_session_timeout = '20ms'",
    "idle_session_timeout = '200ms'",
    "default_transaction_read_only = on",
    "default_transaction_isolation = serializable",
    "quote_all_identifiers = on",
    "standard_conforming_strings = off",
    "client_encoding = latin1",
    "search_path = ''",
    "lock_timeout = '1ms'",
    "role = {group}",
]


@pytest.mark.parametrize("mode", MODES)
def test_what_the_deploying_role_has_set_changes_nothing(
    server: Database, platform: Database, role: str, mode: str
) -> None:
    group = f"{role}_group"
    server.execute(f"create role {group} nologin")
    server.execute(f"grant {group} to {role}")
    own_platform(platform, group if "{group}" in mode else role)
    platform.execute(f"grant create on database {platform.name} to {role}")
    server.execute(f"alter role {role} set {mode.format(group=group)}")
    as_role = [f"url={url(platform.name, user=role, password='secret')}", *OFF]
    bare = platform.catalog()

    deploy("upgrade", "head", database=platform.name, x=as_role)
    installed = platform.catalog()
    deploy("upgrade", "head", database=platform.name, x=as_role)
    assert platform.catalog() == installed

    class_id = platform.class_()
    platform.execute(f"set session authorization {role}; set {mode.format(group=group)}")
    if "read_only" not in mode and "timeout" not in mode:
        assert [row.class_id for row in platform.run()] == [class_id]
        doctor = (
            "select * from class_activation.doctor() where check_name !~ 'pg_cron|ticks' and level = 'error'"
        )
        assert platform.rows(doctor) == []
    platform.reconnect()

    deploy("downgrade", "base", database=platform.name, x=as_role)
    platform.wait_until_alone()
    assert platform.catalog() == bare
    platform.execute(f"drop owned by {group} cascade")
    server.execute(f"drop owned by {group}")
    server.execute(f"drop role {group}")


def test_a_group_that_owns_the_platform_needs_to_create_in_public_and_is_told_so(
    server: Database, platform: Database, role: str
) -> None:
    group = f"{role}_group"
    server.execute(f"create role {group} nologin")
    server.execute(f"grant {group} to {role}")
    own_platform(platform, group)
    platform.execute(f"revoke create on schema public from {group}, public")
    platform.execute(f"grant create on schema public to {role}")
    platform.execute(f"grant create on database {platform.name} to {role}")
    as_role = [f"url={url(platform.name, user=role, password='secret')}", *OFF]
    before = platform.catalog()

    process = alembic("upgrade", "head", database=platform.name, x=as_role)

    assert process.returncode != 0
    assert f"right of role {group} to create in schema public" in process.stderr
    assert platform.catalog() == before
    platform.execute(f"grant create on schema public to {group}")
    deploy("upgrade", "head", database=platform.name, x=as_role)
    platform.execute(f"drop owned by {group} cascade")
    server.execute(f"drop owned by {group}")
    server.execute(f"drop role {group}")


@pytest.mark.parametrize(
    "connection",
    [
        "postgresql://a:{}%%@h/x",
        "postgresql://a:p@{}@h/x",
        "postgresql://a:p/{}@h/x",
        "postgresql://a:p {}@h/x",
        "host=h password=p {}",
        "host=h password='{}",
    ],
)
@pytest.mark.parametrize("option", ["url", "cron_url"])
def test_a_password_that_libpq_misreads_is_not_printed(
    platform: Database, connection: str, option: str
) -> None:
    process = alembic(
        "upgrade", "head", database=platform.name, x=[f"{option}={connection.format('geheim')}"]
    )

    assert process.returncode != 0
    assert "invalid connection string" in process.stderr
    assert "geheim" not in process.stdout + process.stderr


@pytest.mark.parametrize("name", ["col:on", "a blank"])
def test_a_checkout_may_be_anywhere(platform: Database, tmp_path: Path, name: str) -> None:
    project = tmp_path / name
    for part in ("migrations", "sql"):
        shutil.copytree(ROOT / part, project / part)
    shutil.copy(ROOT / "alembic.ini", project)

    deploy("upgrade", "head", database=platform.name, x=OFF, project=project)

    assert platform.value("select class_activation.version()")


def test_an_identity_that_is_behind_its_rows_is_healed_by_the_next_upgrade(db: Database) -> None:
    db.run()
    db.execute("alter table class_activation.runs alter id restart with 1")
    with pytest.raises(psycopg.errors.UniqueViolation):
        db.run()

    deploy("upgrade", "head", database=db.name, x=OFF)

    db.run()
    assert db.last_run().id > 1


@pytest.mark.parametrize(
    "change",
    [
        "alter table {classes} rename to something_else",
        "drop table {classes} cascade",
        "alter table public.program_class_enrollments rename to something_else",
        "alter table public.facilities set schema class_activation_test",
    ],
)
def test_without_a_table_of_the_platform_an_upgrade_names_it_and_a_downgrade_works(
    db: Database, change: str
) -> None:
    db.execute("create schema class_activation_test")
    db.execute(change)

    process = alembic("upgrade", "head", database=db.name, x=OFF)

    assert process.returncode != 0
    assert "cannot be installed" in process.stderr
    assert "without: table public." in process.stderr
    deploy("current", database=db.name)
    deploy("downgrade", "base", database=db.name)
    db.execute("drop schema class_activation_test cascade")
    assert not [key for key in db.catalog() if "class_activation" in key[1]]


def test_a_comment_that_a_dba_has_made_stays_whatever_is_in_it(platform: Database) -> None:
    comment = "DBA's own: :word %s %(name)s 100% \\ {functions}"
    deploy("upgrade", "head", database=platform.name, x=OFF)
    platform.connection.execute(SQL("comment on schema class_activation is {}").format(comment))
    deploy("upgrade", "head", database=platform.name, x=OFF)
    assert platform.value("select obj_description('class_activation'::regnamespace)") == comment
    deploy("downgrade", "base", database=platform.name)
