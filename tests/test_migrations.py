"""Installing and removing, and what can prevent either."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from harness import OFF, ROOT, Database, alembic, deploy, objects, own_platform, owners, psql, refused, url
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL


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
    assert [row.name for row in objects(db) if not row.comment] == []


@pytest.mark.parametrize("command", [["upgrade", "head"], ["downgrade", "head:base"]])
def test_squawk_finds_nothing_in_the_script(command: list[str], tmp_path: Path) -> None:
    script = tmp_path / "script.sql"
    script.write_text(deploy(*command, "--sql", database="nowhere"))

    squawk = [Path(sys.executable).parent / "squawk", "--config", ROOT / ".squawk.toml", script]
    process = subprocess.run(squawk, capture_output=True, text=True, check=False)

    assert process.returncode == 0, process.stdout


def test_everything_that_a_wrong_database_lacks_is_named(platform: Database) -> None:
    platform.execute(
        """
        drop table public.program_class_enrollments cascade;
        alter table public.facilities drop column timezone;
        alter table public.program_classes alter start_dt type timestamp, alter status type text;
        drop type public.class_status;
        create type public.class_status as enum ('Planned', 'Active');
        alter table public.program_classes alter status type public.class_status using 'Active';
        """
    )

    said = refused(platform)

    for missing in (
        "table public.program_class_enrollments",
        "column public.facilities.timezone",
        "column public.program_classes.start_dt as date (it is timestamp without time zone)",
        "label 'Scheduled' of type public.class_status",
        "Is this the database of the platform",
        "two shapes of the platform",
    ):
        assert missing in said
    assert said.count("label '") == 1


@pytest.mark.parametrize("loss", ["drop table", "delete from"])
def test_the_hint_restores_a_lost_revision(platform: Database, loss: str) -> None:
    bare = platform.catalog()
    deploy("upgrade", "head", database=platform.name, x=OFF)
    platform.execute(f"{loss} class_activation.alembic_version")

    said = refused(platform)

    assert "DROP" not in said
    assert "If another application made the schema, rename it" in said
    psql(platform, re.search("restore the row: (.*)", said)[1])
    assert deploy("current", database=platform.name).startswith("1.0.0")
    deploy("downgrade", "base", database=platform.name, x=OFF)
    assert platform.catalog() == bare


def test_each_file_of_sql_defines_one_function_of_its_name_and_can_be_applied_again() -> None:
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


# a change by hand in schema class_activation, and how the upgrade reports its repair
DRIFT = {
    "create or replace function version() returns text language sql as $$ select '0' $$": (
        "replaced function class_activation.version"
    ),
    # with another result type, and rights that are kept
    "drop function health; create function health(p_not_before time default null, p_grace interval"
    " default '1 hour') returns int language sql as $$ select 1 $$;"
    "revoke execute on function health from public; grant execute on function health to {role}": (
        "replaced function class_activation.health"
    ),
    "alter function health(time, interval) security invoker": "replaced function class_activation.health",
    "alter function preview(timestamptz, time) reset all": "replaced function class_activation.preview",
    "alter function batch_user() volatile": "replaced function class_activation.batch_user",
    "alter function doctor() owner to {role}": "replaced function class_activation.doctor",
    "comment on function doctor() is null": "replaced function class_activation.doctor",
    "grant execute on function doctor() to public": "replaced function class_activation.doctor",
    "drop function run_in_batches": "created function class_activation_internal.run_in_batches",
    "drop function public.activate_scheduled_classes": "created function public.activate_scheduled_classes",
    "comment on table runs is 'mine'": "replaced comments on class_activation.runs",
    "revoke usage on schema class_activation from public": "replaced schema class_activation",
    "drop index public.class_activation_due_idx": "created index public.class_activation_due_idx",
    "update pg_index set indisvalid = false where indexrelid = 'public.class_activation_due_idx'::regclass": (
        "replaced index public.class_activation_due_idx"
    ),
}


def heal(db: Database, role: str, drift: str, upgrade: Callable[[], str]) -> None:
    """Change something by hand; doctor must find it and UPGRADE repair it."""
    db.execute(f"grant execute on function class_activation.health to {role}")
    before = db.catalog()
    db.execute("set search_path = class_activation, class_activation_internal")
    db.execute(drift.format(role=role))
    db.reconnect()
    findings = db.findings(but="pg_cron|ticks")
    assert "error" in {row.level for row in findings.values()}
    assert "installation" not in findings or findings["installation"].fix == "alembic upgrade head"

    assert DRIFT[drift] in upgrade()

    assert db.catalog() == before
    assert db.findings(but="pg_cron|ticks") == {}


@pytest.mark.parametrize("drift", DRIFT)
def test_doctor_finds_a_change_by_hand_and_an_upgrade_repairs_it(db: Database, role: str, drift: str) -> None:
    heal(db, role, drift, lambda: alembic("upgrade", "head", database=db.name).stderr)


def test_an_upgrade_drops_only_functions_of_an_earlier_release(db: Database, tmp_path: Path) -> None:
    # a checkout may be anywhere
    project = tmp_path / "a blank, a col:on"
    for name in ("migrations", "sql"):
        shutil.copytree(ROOT / name, project / name)
    shutil.copy(ROOT / "alembic.ini", project)
    (project / "sql/operate/gone.sql").write_text(
        "create or replace function class_activation.gone() returns int language plpgsql as"
        " $function$ begin return 1; end $function$;\n"
        "revoke execute on function class_activation.gone() from public;\n"
        "comment on function class_activation.gone() is 'gone';\n"
    )
    before = db.catalog()
    deploy("upgrade", "head", database=db.name, project=project)
    assert db.value("select class_activation.gone()") == 1
    db.execute("create function class_activation.mine() returns int language sql as 'select 1'")

    process = alembic("upgrade", "head", database=db.name)

    assert "dropped function class_activation.gone()" in process.stderr
    assert db.value("select class_activation.mine()") == 1
    row = db.findings()["installation"]
    assert (row.level, row.detail) == ("warning", "not of class activation: function class_activation.mine()")
    db.execute("drop function class_activation.mine()")
    assert db.catalog() == before


def test_the_platforms_next_migration_still_runs(db: Database) -> None:
    db.enrollment(db.class_())
    db.run()
    db.execute(
        """
        alter table public.program_classes alter status type text, drop instructor_name;
        alter table public.program_classes rename credit_hours to hours;
        alter table public.program_class_enrollments drop change_reason;
        alter table public.facilities alter timezone type text;
        """
    )
    as_text = db.class_()
    assert [row.class_id for row in db.run()] == [as_text]

    change = "alter status type public.class_status using status::public.class_status"
    db.execute(f"alter table public.program_classes {change}")
    as_enum = db.class_()
    assert [row.class_id for row in db.run()] == [as_enum]
    index = "'public.class_activation_due_idx'::regclass"
    assert db.value(f"select indisvalid from pg_index where indexrelid = {index}")


def test_an_unknown_option_is_refused(platform: Database) -> None:
    said = refused(platform, x=["shedule=off"])
    assert "unknown option -x shedule: there are url, schedule, cron_url" in said


@pytest.mark.parametrize("password", ["secret", "100%", "p%40:/?#&'\" "])
def test_x_url_overrides_database_url_and_pg_variables(platform: Database, role: str, password: str) -> None:
    platform.connection.execute(SQL(f"alter role {role} password {{}}").format(password))
    good, bad = url(platform.name, user=role, password=password), "postgresql://nobody@localhost:1/nowhere"

    def connects(database: str, x: str | None = None, **env: str) -> bool:
        options = [f"url={x}"] if x else []
        return alembic("current", database=database, x=options, env=env).returncode == 0

    assert connects(platform.name)
    assert not connects("nowhere")
    assert connects("nowhere", DATABASE_URL=good)
    assert connects("nowhere", DATABASE_URL=good.replace("postgresql:", "postgresql+psycopg:"))
    assert connects("nowhere", DATABASE_URL=bad, x=good)
    assert connects("nowhere", x=make_conninfo(good))
    assert not connects(platform.name, DATABASE_URL=good, x=bad)


# settings of the deploying role, for all of its sessions
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
def test_a_deployers_settings_change_nothing(platform: Database, role: str, other: str, mode: str) -> None:
    mode = mode.format(group=other)
    owner = other if other in mode else role
    own_platform(platform, owner)
    platform.execute(f"grant {other} to {role}; grant create on database {platform.name} to {role}")
    platform.execute(f"alter role {role} set {mode}")
    x = [f"url={url(platform.name, user=role, password='secret')}", *OFF]
    bare = platform.catalog()

    deploy("upgrade", "head", database=platform.name, x=x)
    catalog = platform.catalog()
    deploy("upgrade", "head", database=platform.name, x=x)
    assert platform.catalog() == catalog
    assert owners(platform) == {owner}

    class_id = platform.class_()
    platform.execute(f"set session authorization {role}; set {mode}")
    if "read_only" not in mode and "timeout" not in mode:
        assert [row.class_id for row in platform.run()] == [class_id]
        findings = platform.findings(but="pg_cron|ticks").values()
        assert [row for row in findings if row.level == "error"] == []
    platform.reconnect()

    deploy("downgrade", "base", database=platform.name, x=x)
    platform.wait_until_alone()
    assert platform.catalog() == bare


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
def test_a_misread_password_is_not_printed(platform: Database, connection: str, option: str) -> None:
    x = [f"{option}={connection.format('geheim')}"]
    process = alembic("upgrade", "head", database=platform.name, x=x)

    assert process.returncode != 0
    assert "invalid connection string" in process.stderr
    assert "geheim" not in process.stdout + process.stderr


def test_an_upgrade_repairs_an_identity_that_is_behind_its_rows(db: Database) -> None:
    db.run()
    db.execute("alter table class_activation.runs alter id restart with 1")
    with pytest.raises(psycopg.errors.UniqueViolation):
        db.run()

    deploy("upgrade", "head", database=db.name, x=OFF)

    db.run()
    assert db.last_run().id > 1


def test_a_dbas_comment_is_kept_verbatim(platform: Database) -> None:
    comment = "DBA's own: :word %s %(name)s 100% \\ {functions}"
    deploy("upgrade", "head", database=platform.name, x=OFF)
    platform.connection.execute(SQL("comment on schema class_activation is {}").format(comment))
    deploy("upgrade", "head", database=platform.name, x=OFF)
    assert platform.value("select obj_description('class_activation'::regnamespace)") == comment
    deploy("downgrade", "base", database=platform.name)
