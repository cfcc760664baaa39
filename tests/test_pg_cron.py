"""pg_cron: one job, no matter which role schedules it, and pg_cron runs it."""

import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from container import container, needs_docker
from harness import (
    COMMAND,
    OFF,
    Database,
    alembic,
    as_role,
    deploy,
    own_platform,
    posix_zone,
    psql,
    refused,
    url,
    wait_until,
)

pytestmark = pytest.mark.usefixtures("pg_cron")

JOBS = """
select jobid, schedule, command, database, username, active
from cron.job
where jobname ~ '^activate_scheduled_classes'
"""


@pytest.mark.slow
def test_at_5_am_at_its_facility_pg_cron_activates_a_class_by_itself(cron: Database) -> None:
    deploy("upgrade", "head", database=cron.name, x=["schedule=* * * * *"])
    # the minute after next begins at 5 AM at one facility and at 4:30 at another
    now = cron.value("select clock_timestamp()").astimezone(UTC)
    five = now.replace(second=0, microsecond=0) + timedelta(minutes=2 if now.second > 50 else 1)
    offset = timedelta(hours=5) - timedelta(hours=five.hour, minutes=five.minute)
    due = cron.class_(cron.facility(posix_zone(offset)), five.date())
    enrollment = cron.enrollment(due)
    half_an_hour_behind = cron.class_(cron.facility(posix_zone(offset - timedelta(minutes=30))), five.date())
    assert cron.run(not_before="05:00") == []

    listener = cron.connect()
    listener.execute("listen class_activation")
    assert next(listener.notifies(timeout=190), None), "pg_cron did not activate anything"

    activation = cron.row("select * from class_activation.activations")
    assert (activation.class_id, activation.enrollments_backfilled) == (due, 1)
    assert activation.due_at == five
    assert timedelta(0) <= activation.activated_at - five < timedelta(seconds=30)
    assert cron.enrolled_at(enrollment) == activation.activated_at
    assert cron.status(half_an_hour_behind) == "Scheduled"


def test_plpgsql_check_finds_nothing_in_any_function(cron: Database) -> None:
    deploy("upgrade", "head", database=cron.name)
    cron.execute("create extension if not exists plpgsql_check")

    findings = cron.rows(
        r"""
        select p.oid::regprocedure::text, c
        from pg_proc p
        cross join lateral plpgsql_check_function(p.oid, fatal_errors => false, all_warnings => true) c
        where (p.pronamespace::regnamespace::text ~ '^class_act' or p.proname = 'activate_scheduled_classes')
          and c ~ '^(error|warning|performance|security|compatibility)'
          -- dynamic statements are formatted with %I and %L
          and c !~ 'cannot determin(e|ate) a result of dynamic SQL'
          -- newer versions take the array of doctor's parts for one name
          and c !~ 'class_activation\.\{doctor_'
          and c !~ 'OUT variable ".*" is maybe unmodified'
          and c !~ 'marked as VOLATILE, should be STABLE'
          and not (c ~ 'not sanitized'
            and p.proname in ('execute_as_application', 'fire_deferred_triggers', 'lock_classes',
              'lock_platform', 'schedule', 'unschedule'))
        """
    )

    cron.execute("drop extension plpgsql_check")
    assert findings == []


def test_a_script_schedules_the_same_job(cron: Database) -> None:
    psql(cron, deploy("upgrade", "head", "--sql", database="nowhere", x=["schedule=7 * * * *"]))
    by_script = cron.row(JOBS)
    psql(cron, deploy("downgrade", "head:base", "--sql", database="nowhere"))
    assert cron.rows(JOBS) == []

    deploy("upgrade", "head", database=cron.name, x=["schedule=7 * * * *"])
    assert cron.row(JOBS)[1:] == by_script[1:]


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_schedule_that_pg_cron_rejects_is_refused(cron: Database, elsewhere: bool) -> None:
    x = [f"cron_url={url(cron.name)}"] if elsewhere else []

    assert "every morning (SQLSTATE" in refused(cron, x=["schedule=every morning", *x])

    deploy("upgrade", "head", database=cron.name)
    assert cron.row(JOBS).schedule == "*/15 * * * *"


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        # even if it repairs a function
        ([], None),
        (OFF, None),
        (["schedule=7 * * * *"], "7 * * * *"),
    ],
)
def test_an_upgrade_keeps_the_schedule(cron: Database, option: list[str], expected: str | None) -> None:
    deploy("upgrade", "head", database=cron.name)
    jobid = cron.row(JOBS).jobid
    assert cron.value("select class_activation.schedule('0 * * * *', '06:30')") == jobid
    cron.execute("drop function class_activation.version()")
    for jobs in (1, 0):
        before = cron.rows(JOBS)
        assert len(before) == jobs

        deploy("upgrade", "head", database=cron.name, x=option)

        if expected:
            assert cron.row(JOBS).schedule == expected
        else:
            assert cron.rows(JOBS) == before
        assert cron.value("select class_activation.unschedule()") == (1 if expected else jobs)
    cron.execute("select class_activation.schedule()")
    assert cron.row(JOBS)[1:3] == (expected or "0 * * * *", COMMAND)
    assert str(cron.value("select not_before from class_activation.settings")) == "06:30:00"


def test_a_first_installation_reports_the_classes_that_will_start(cron: Database) -> None:
    for start_dt in ("2019-03-04", "2026-03-02", "2999-01-01"):
        cron.class_(start_dt=start_dt)
    # a superuser's deployment creates it
    cron.execute("drop extension pg_cron")
    before = datetime.now(UTC)
    said = alembic("upgrade", "head", database=cron.name, x=["schedule=7 * * * *"]).stderr
    hours = {(time + timedelta(minutes=53)).hour for time in (before, datetime.now(UTC))}
    (found,) = re.findall(r"2 classes are due and start at the next tick, (\d\d):07 UTC", said)
    assert int(found) in hours
    assert "; the oldest since 2019-03-04" in said


def test_each_tick_is_recorded_and_its_run_only_if_it_did_something(cron: Database) -> None:
    deploy("upgrade", "head", database=cron.name)
    assert cron.value(COMMAND) == 0
    assert cron.value("select count(*) from class_activation.ticks") == 1
    assert cron.rows("select * from class_activation.runs") == []
    cron.class_()
    # no tick waits for another one
    other = cron.connect()
    other.execute("begin; " + COMMAND)
    cron.execute("set statement_timeout = '5s'")
    assert cron.value(COMMAND) == 0
    other.execute("rollback")
    assert cron.value(COMMAND) == 1
    assert cron.value("select called_by from class_activation.history()") == cron.value("select session_user")
    cron.execute("reset statement_timeout; select class_activation.pause()")
    assert cron.value(COMMAND) is None
    cron.class_()
    assert len(cron.run()) == 1


def test_a_downgrade_removes_a_job_that_was_scheduled_by_hand(cron: Database) -> None:
    deploy("upgrade", "head", database=cron.name, x=OFF)
    cron.execute("select cron.schedule('activate_scheduled_classes', '* * * * *', %s)", COMMAND)

    deploy("downgrade", "base", database=cron.name)

    assert cron.rows(JOBS) == []


@pytest.mark.parametrize(
    ("drop", "remedy"),
    [
        ("", "grant usage on schema cron to {role};"),
        ("drop extension pg_cron", "create extension pg_cron; grant usage on schema cron to {role};"),
    ],
)
def test_the_error_shows_what_a_superuser_must_run(cron: Database, role: str, drop: str, remedy: str) -> None:
    own_platform(cron, role)
    cron.execute(drop)
    remedy = remedy.format(role=role)

    assert remedy in refused(cron, x=as_role(cron, role))

    cron.execute(remedy)
    deploy("upgrade", "head", database="nowhere", x=as_role(cron, role))
    assert cron.row(JOBS).username == role
    deploy("downgrade", "base", database="nowhere", x=as_role(cron, role))


def test_in_a_database_without_pg_cron_the_refusal_names_cron_url(platform: Database) -> None:
    assert "-x cron_url=postgresql://" in refused(platform, x=[])


@pytest.mark.parametrize("plain", [False, True])
def test_scheduling_elsewhere_by_hand(pg_cron: Database, platform: Database, role: str, plain: bool) -> None:
    own_platform(platform, role)
    pg_cron.execute(f"grant usage on schema cron to {role}")
    pg_cron.execute(f"grant execute on function cron.schedule_in_database to {role}")
    who = {"user": role, "password": "secret"} if plain else {}
    deploy("upgrade", "head", database=platform.name, x=OFF)

    def typed(statement: str) -> str:
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as error:
            platform.connect(**who).execute(statement)
        there, here = error.value.diag.message_hint.split(" or a superuser: ")[1].split(" Then here: ")
        pg_cron.connect(**who).execute(there)
        platform.connect(**who).execute(here.split(";")[0].replace("THAT DATABASE", pg_cron.name))
        return error.value.diag.message_primary

    settings = "select schedule, cron_database, job_database, job_username from class_activation.settings"
    assert "is not in database" in typed("select class_activation.schedule('7 * * * *')")
    by_hand = tuple(platform.row(settings))
    assert tuple(pg_cron.row(JOBS))[1:] == ("7 * * * *", COMMAND, platform.name, role, True)
    assert f"in another database, {pg_cron.name}" in typed("select class_activation.schedule('8 * * * *')")
    assert pg_cron.row(JOBS).schedule == platform.row(settings).schedule == "8 * * * *"
    typed("select class_activation.unschedule()")
    assert pg_cron.rows(JOBS) == []

    elsewhere = [f"cron_url={url(pg_cron.name, **who)}"]
    deploy("upgrade", "head", database=platform.name, x=[*elsewhere, "schedule=7 * * * *"])
    assert tuple(platform.row(settings)) == by_hand
    assert "-x cron_url" in refused(platform, "downgrade", "base", x=[])
    deploy("downgrade", "base", database=platform.name, x=elsewhere)
    assert pg_cron.rows(JOBS) == []


def test_a_copy_leaves_the_original_job(pg_cron: Database, new_database: Callable[..., Database]) -> None:
    elsewhere = [f"cron_url={url(pg_cron.name)}"]
    original = new_database()
    deploy("upgrade", "head", database=original.name, x=elsewhere)
    original.close()
    copy = new_database(original.name)

    deploy("upgrade", "head", database=copy.name)
    assert [job.database for job in pg_cron.rows(JOBS)] == [original.name]
    deploy("upgrade", "head", database=copy.name, x=elsewhere)
    assert [job.database for job in pg_cron.rows(JOBS)] == [original.name, copy.name]
    for database in (original, copy):
        deploy("downgrade", "base", database=database.name, x=elsewhere)
    assert pg_cron.rows(JOBS) == []


def test_rights_that_cron_url_lacks_are_named(pg_cron: Database, platform: Database, role: str) -> None:
    platform.execute(f"revoke connect on database {platform.name} from public")
    elsewhere = [f"cron_url={url(pg_cron.name, user=role, password='secret')}"]

    grants = re.findall(r"\((\w[^()]*;)\)", refused(platform, x=elsewhere))

    assert len(grants) == 3
    for grant in grants:
        pg_cron.execute(grant)
    deploy("upgrade", "head", database=platform.name, x=elsewhere)
    job = pg_cron.row(JOBS)
    assert (job.database, job.username) == (platform.name, role)
    # the deployment has granted it the right to run the job
    platform.connect(user=role, password="secret").execute(job.command)
    deploy("downgrade", "base", database=platform.name, x=elsewhere)
    assert pg_cron.rows(JOBS) == []


def test_a_pg_cron_that_calls_no_other_database_is_refused(pg_cron: Database, platform: Database) -> None:
    pg_cron.execute("alter function cron.schedule_in_database rename to away")
    try:
        said = refused(platform, x=[f"cron_url={url(pg_cron.name)}"])
    finally:
        pg_cron.execute("alter function cron.away rename to schedule_in_database")
    assert "function cron.schedule_in_database (Neon has none" in said


def test_a_script_for_two_databases_is_refused(platform: Database) -> None:
    said = refused(platform, "upgrade", "head", "--sql", x=["cron_url=postgresql:///postgres"])
    assert "-x schedule=off" in said


def test_an_old_pg_cron_is_refused(cron: Database) -> None:
    set_version = "update pg_extension set extversion = %s where extname = 'pg_cron'"
    version = cron.value("select extversion from pg_extension where extname = 'pg_cron'")
    cron.execute(set_version, "1.3")
    try:
        assert "its version is 1.3, and 1.4 is needed" in refused(cron, x=[])
        assert "pg_cron 1.4 (it is 1.3" in refused(cron, x=[f"cron_url={url(cron.name)}"])
    finally:
        cron.execute(set_version, version)


def test_a_cron_url_without_pg_cron_is_refused(platform: Database, empty: Database) -> None:
    said = refused(platform, x=[f"cron_url={url(empty.name)}"])
    assert f"in database {empty.name} extension pg_cron" in said


@needs_docker
def test_a_cron_url_to_another_server_is_refused(platform: Database) -> None:
    with container() as server:
        server.database().execute("create extension pg_cron")
        there = url("postgres").replace(f":{os.environ['PGPORT']}/", f":{server.env['PGPORT']}/")
        assert "of another server than the platform's" in refused(platform, x=[f"cron_url={there}"])


@pytest.mark.slow
def test_a_fleet_shares_one_pg_cron(pg_cron: Database, new_database: Callable[..., Database]) -> None:
    elsewhere = [f"cron_url={url(pg_cron.name)}"]
    fleet = [new_database() for _ in range(8)]
    for db in fleet:
        deploy("upgrade", "head", database=db.name, x=[*elsewhere, "schedule=* * * * *"])
    jobs = "select jobname, database from cron.job order by jobid"
    assert {tuple(row) for row in pg_cron.rows(jobs)} == {
        (f"activate_scheduled_classes@{db.name}", db.name) for db in fleet
    }

    classes = [(db, db.class_()) for db in fleet]
    wait_until(lambda: all(db.status(class_id) == "Active" for db, class_id in classes), timeout=190)

    leaver, *others = fleet
    deploy("downgrade", "base", database=leaver.name, x=elsewhere)
    assert {row.database for row in pg_cron.rows(jobs)} == {db.name for db in others}
    # a second deployment changes nothing for the others
    before = pg_cron.rows("select * from cron.job order by jobid")
    deploy("upgrade", "head", database=others[0].name, x=elsewhere)
    assert pg_cron.rows("select * from cron.job order by jobid") == before
    for db in others:
        deploy("downgrade", "base", database=db.name, x=elsewhere)
    assert pg_cron.rows(jobs) == []
