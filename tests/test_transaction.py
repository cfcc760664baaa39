"""A deployment that fails or is killed changes nothing, and no deployment waits for long."""

import random
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import OFF, Database, alembic, deploy, finished, psql, refused, start_alembic, url, wait_until

PLACES = 20
DEPLOYMENTS = 10
# roughly the duration of an upgrade after it has connected
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
    """The platform, with an event trigger that counts commands and fails at a given one."""
    platform.execute(COUNT_COMMANDS)
    return platform


def fail_at(database: Database, number: int) -> None:
    """Let command NUMBER fail."""
    database.execute("alter event trigger count_command disable")
    database.execute("alter sequence public.commands restart")
    database.execute("update public.last_command set number = %s", number)
    database.execute("alter event trigger count_command enable")


def places(counted: Database, command: Callable[[], object]) -> Iterator[int]:
    """Run COMMAND once to count its commands, then yield some of them, each of which will fail."""
    fail_at(counted, 0)
    command()
    commands = counted.value("select last_value from public.commands")
    for place in sorted(random.sample(range(1, commands + 1), min(PLACES, commands))):
        fail_at(counted, place)
        yield place


@pytest.mark.slow
@pytest.mark.parametrize("way", ["online", "script"])
def test_an_error_at_any_place_changes_nothing(counted: Database, way: str) -> None:
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


@pytest.mark.slow
@pytest.mark.parametrize("killed", ["process", "session"])
def test_a_killed_deployment_leaves_all_or_nothing(platform: Database, db: Database, killed: str) -> None:
    states = {"base": platform.catalog(), "head": db.catalog()}
    state = "base"
    for _ in range(DEPLOYMENTS):
        command = ["upgrade", "head"] if state == "base" else ["downgrade", "base"]
        deployer = start_alembic(*command, database=platform.name, x=OFF)
        wait_until(lambda: platform.value(f"select count(*) {OTHER_SESSIONS}") > 0)
        # at a random moment
        time.sleep(random.uniform(0, UPGRADE_SECONDS))
        if killed == "process":
            deployer.kill()
        else:
            platform.execute(f"select pg_terminate_backend(pid) {OTHER_SESSIONS}")
        finished(deployer)
        platform.wait_until_alone()

        catalog = platform.catalog()
        assert catalog in states.values()
        state = "base" if catalog == states["base"] else "head"


@pytest.mark.parametrize(
    ("other", "of", "what"),
    [
        ("view public.of_a_dba", "as select * from class_activation.runs", "table class_activation.runs"),
        ("table class_activation.notes", "(note text)", "schema class_activation"),
    ],
)
def test_an_object_of_another_author_stops_a_downgrade(db: Database, other: str, of: str, what: str) -> None:
    db.class_()
    db.run()
    db.execute(f"create {other} {of}")
    activations = db.rows("select * from class_activation.activations")

    assert f"DETAIL: {other} depends on {what}" in refused(db, "downgrade", "base")

    assert db.rows("select * from class_activation.activations") == activations
    db.execute(f"drop {other}")
    deploy("downgrade", "base", database=db.name)


@pytest.mark.parametrize("way", ["online", "script"])
def test_one_of_several_deployers_at_once_installs(platform: Database, way: str) -> None:
    # a report on another table holds up none of them
    report = platform.connect(autocommit=False)
    report.execute("set transaction isolation level repeatable read")
    report.execute("select from public.users")

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


def test_waiting_for_another_deployment_is_limited(
    platform: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("migrations.sql_files.LOCK_WAIT", "100 ms")
    other = platform.connect(autocommit=False)
    other.execute("select pg_advisory_xact_lock(hashtext('class_activation'), hashtext('deployment'))")

    said = refused(platform)

    assert "another deployment of class activation has been running for more than 100 ms" in said
    (query,) = re.findall("Find it: ([^;]*);", said)
    assert other.info.backend_pid in {row.pid for row in platform.rows(query)}


@pytest.mark.parametrize("at_head", [False, True])
def test_a_table_in_use_fails_the_deployment(platform: Database, db: Database, at_head: bool) -> None:
    if at_head:
        deploy("upgrade", "head", database=platform.name, x=OFF)
        platform.execute("drop index public.class_activation_due_idx")
        platform.execute("drop function class_activation.version()")
    editor = platform.connect(autocommit=False)
    editor.execute("update public.program_classes set capacity = 1")

    said = refused(platform)

    assert "SQLSTATE 55P03" in said
    assert f"DETAIL: Sessions that have locked it: {editor.info.backend_pid}" in said
    # the hint's alternative, for which no writer has to wait
    (statement,) = re.findall("(create index concurrently [^;]*);", said)
    editor.rollback()
    platform.execute(statement)
    oid = platform.value("select 'public.class_activation_due_idx'::regclass::oid")
    editor.execute("update public.program_classes set capacity = 1")
    deploy("upgrade", "head", database=platform.name, x=OFF)
    assert platform.catalog() == db.catalog()
    assert platform.value("select 'public.class_activation_due_idx'::regclass::oid") == oid


# ends the open transactions of another database when a transaction that creates or drops something commits
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


def test_after_a_failed_commit_the_command_can_be_repeated(pg_cron: Database, platform: Database) -> None:
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
