"""Whatever ends a deployment, the database is as it was; and no deployment waits for long."""

import random
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from subprocess import Popen

import pytest
from harness import OFF, Database, alembic, deploy, finished, psql, start_alembic, url, wait_until

PLACES = 20
DEPLOYMENTS = 10
# about what an upgrade takes from its first connection on
UPGRADE_SECONDS = 0.7
OTHER_SESSIONS = "from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"

COUNT_COMMANDS = """
create sequence public.commands;
create table public.last_command as select 1000000 as number;
create function public.count_command() returns event_trigger language plpgsql as $$
begin
  if nextval('public.commands') = (select number from public.last_command) then
    raise 'no more commands';
  end if;
end $$;
create event trigger count_command on ddl_command_start execute function public.count_command();
"""


@pytest.fixture
def counted(platform: Database) -> Database:
    """The platform, with an event trigger that counts commands and fails at the one that it is told."""
    platform.execute(COUNT_COMMANDS)
    return platform


def fail_at(database: Database, number: int) -> None:
    """Let the command of that NUMBER fail."""
    database.execute("alter event trigger count_command disable")
    database.execute("alter sequence public.commands restart")
    database.execute("update public.last_command set number = %s", number)
    database.execute("alter event trigger count_command enable")


def places(counted: Database, command: Callable[[], object]) -> Iterator[int]:
    """Run COMMAND once, then yield places at which it is about to fail."""
    fail_at(counted, 0)
    command()
    commands = counted.value("select last_value from public.commands")
    for place in sorted(random.sample(range(1, commands + 1), min(PLACES, commands))):
        fail_at(counted, place)
        yield place


@pytest.mark.slow
@pytest.mark.parametrize("way", ["online", "script"])
def test_an_error_at_any_place_leaves_everything_as_it_was(counted: Database, way: str) -> None:
    def run(command: str, revisions: str) -> str:
        if way == "online":
            return alembic(command, revisions.removeprefix("head:"), database=counted.name, x=OFF).stderr
        try:
            return psql(counted, deploy(command, revisions, "--sql", database="nowhere", x=OFF))
        except AssertionError as error:
            return str(error)

    before = counted.catalog()
    for _ in places(counted, lambda: run("upgrade", "head") + run("downgrade", "head:base")):
        said = run("upgrade", "head")
        if "no more commands" not in said:  # the place is in the downgrade
            before, installed = counted.catalog(), before
            said = run("downgrade", "head:base")
            assert "no more commands" in said
            assert counted.catalog() == before
            fail_at(counted, 0)
            run("downgrade", "head:base")
            before = installed
        assert counted.catalog() == before


def kill_the_deployer(_db: Database, deployer: Popen) -> None:
    deployer.kill()


def terminate_its_session(db: Database, _deployer: Popen) -> None:
    db.execute(f"select pg_terminate_backend(pid) {OTHER_SESSIONS}")


@pytest.mark.slow
@pytest.mark.parametrize("end", [kill_the_deployer, terminate_its_session])
def test_a_deployment_that_is_ended_at_any_moment_leaves_all_or_nothing(
    platform: Database, db: Database, end: Callable[[Database, Popen], None]
) -> None:
    states = {"base": platform.catalog(), "head": db.catalog()}
    state = "base"
    for _ in range(DEPLOYMENTS):
        command = ["upgrade", "head"] if state == "base" else ["downgrade", "base"]
        deployer = start_alembic(*command, database=platform.name, x=OFF)
        wait_until(lambda: platform.value(f"select count(*) {OTHER_SESSIONS}") > 0)
        # nothing to await: any moment will do
        time.sleep(random.uniform(0, UPGRADE_SECONDS))
        end(platform, deployer)
        finished(deployer)
        platform.wait_until_alone()

        catalog = platform.catalog()
        assert catalog in states.values()
        state = "base" if catalog == states["base"] else "head"


def test_a_downgrade_that_fails_leaves_everything_as_it_was(db: Database) -> None:
    db.class_()
    db.run()
    db.execute("create view public.of_a_dba as select * from class_activation.runs")
    before, rows = db.catalog(), db.rows("select * from class_activation.activations")

    process = alembic("downgrade", "base", database=db.name)

    assert process.returncode != 0
    assert "DETAIL: view public.of_a_dba depends on table class_activation.runs" in process.stderr
    assert (db.catalog(), db.rows("select * from class_activation.activations")) == (before, rows)
    db.execute("drop view public.of_a_dba")
    deploy("downgrade", "base", database=db.name)


def test_another_authors_table_in_the_schema_stops_a_downgrade_and_is_named(db: Database) -> None:
    db.execute("create table class_activation.notes (note text)")
    before = db.catalog()

    process = alembic("downgrade", "base", database=db.name)

    assert "DETAIL: table class_activation.notes depends on schema class_activation" in process.stderr
    assert db.catalog() == before


@pytest.mark.parametrize("way", ["online", "script"])
def test_deployers_at_once_all_end_well_and_one_of_them_installs(platform: Database, way: str) -> None:
    def install() -> str:
        if way == "online":
            process = finished(start_alembic("upgrade", "head", database=platform.name, x=OFF))
            assert process.returncode == 0, process.stderr
            return process.stderr
        return psql(platform, script)

    script = deploy("upgrade", "head", "--sql", database="nowhere", x=OFF)
    with ThreadPoolExecutor(3) as threads:
        said = [deployment.result() for deployment in [threads.submit(install) for _ in range(3)]]

    assert ["installed" in text for text in said].count(True) == 1
    assert ["nothing to do" in text for text in said].count(True) == 2


def test_a_deployment_does_not_wait_for_another_one_for_ever(
    platform: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("migrations.sql_files.LOCK_WAIT", "100 ms")
    other = platform.connect(autocommit=False)
    other.execute("select pg_advisory_xact_lock(hashtext('class_activation'), hashtext('deployment'))")

    process = alembic("upgrade", "head", database=platform.name, x=OFF)

    assert "another deployment of class activation has been running for more than 100 ms" in process.stderr
    (query,) = re.findall("Find it: ([^;]*);", process.stderr)
    assert other.info.backend_pid in {row.pid for row in platform.rows(query)}


@pytest.mark.parametrize("at_head", [False, True])
def test_a_table_that_is_in_use_fails_the_deployment_and_the_session_is_named(
    platform: Database, db: Database, at_head: bool
) -> None:
    if at_head:
        deploy("upgrade", "head", database=platform.name, x=OFF)
        platform.execute("drop index public.class_activation_due_idx")
        platform.execute("drop function class_activation.version()")
    before = platform.catalog()
    editor = platform.connect(autocommit=False)
    editor.execute("update public.program_classes set capacity = 1")

    process = alembic("upgrade", "head", database=platform.name, x=OFF)

    assert process.returncode != 0
    assert "SQLSTATE 55P03" in process.stderr
    assert f"DETAIL: Sessions that have locked it: {editor.info.backend_pid}" in process.stderr
    assert platform.catalog() == before
    # as the hint says, for those who cannot let writers wait
    (statement,) = re.findall("(create index concurrently [^;]*);", process.stderr)
    editor.rollback()
    platform.execute(statement)
    oid = platform.value("select 'public.class_activation_due_idx'::regclass::oid")
    editor.execute("update public.program_classes set capacity = 1")
    deploy("upgrade", "head", database=platform.name, x=OFF)
    assert platform.catalog() == db.catalog()
    assert platform.value("select 'public.class_activation_due_idx'::regclass::oid") == oid


def test_a_report_on_another_table_does_not_hold_up_the_index(platform: Database) -> None:
    report = platform.connect(autocommit=False)
    report.execute("set transaction isolation level repeatable read")
    report.execute("select from public.users")
    deploy("upgrade", "head", database=platform.name, x=OFF)


# at the commit of any command that drops or creates something, ends the open transactions of another database
END_OTHER_DATABASE = """
create table public.ddl (number serial primary key);
create function public.note() returns event_trigger language plpgsql as
  $$ begin insert into public.ddl default values; end $$;
create function public.end_other_database() returns trigger language plpgsql as $$
begin
  perform pg_terminate_backend(pid, 5000) from pg_stat_activity
  where datname = '{}' and state = 'idle in transaction';
  return null;
end $$;
create constraint trigger end_other_database after insert on public.ddl initially deferred
  for each row execute function public.end_other_database();
create event trigger note on ddl_command_end when tag in ('CREATE TABLE', 'DROP TABLE', 'DROP SCHEMA')
  execute function public.note();
"""


def test_what_pg_crons_database_did_not_commit_only_needs_repeating(
    pg_cron: Database, platform: Database
) -> None:
    elsewhere = [f"cron_url={url(pg_cron.name)}"]
    jobs = "select jobname from cron.job where database = %s"
    platform.execute(END_OTHER_DATABASE.format(pg_cron.name))
    bare = platform.catalog()
    for command in (("upgrade", "head"), ("downgrade", "base")):
        before = pg_cron.rows(jobs, platform.name)

        process = alembic(*command, database=platform.name, x=elsewhere)

        assert f"but not in pg_cron's database {pg_cron.name}" in process.stderr
        assert "Run the command again" in process.stderr
        assert pg_cron.rows(jobs, platform.name) == before
        platform.execute("alter event trigger note disable")
        deploy(*command, database=platform.name, x=elsewhere)
        assert bool(pg_cron.rows(jobs, platform.name)) == (command[0] == "upgrade")
        platform.execute("alter event trigger note enable")
    assert platform.catalog() == bare
