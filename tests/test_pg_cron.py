"""pg_cron: one job, no matter which role schedules it, and it fires."""

import os
import re
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from container import container, needs_docker
from harness import COMMAND, Database, alembic, deploy, own_platform, posix_zone, psql, url, wait_until

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
    assert next(listener.notifies(timeout=130), None), "pg_cron did not activate anything"

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
          -- what it says of dynamic statements, which sql/platform formats with %I and %L
          and c ~ '^(error|warning|performance|security|compatibility)'
          and c !~ 'cannot determin(e|ate) a result of dynamic SQL'
          -- newer versions take the array of doctor's parts for the name of one
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
def test_a_schedule_that_pg_cron_refuses_leaves_nothing(cron: Database, elsewhere: bool) -> None:
    before = cron.catalog()
    x = [f"cron_url={url(cron.name)}"] if elsewhere else []

    process = alembic("upgrade", "head", database=cron.name, x=["schedule=every morning", *x])

    assert process.returncode != 0
    assert "every morning (SQLSTATE" in process.stderr
    assert cron.catalog() == before
    deploy("upgrade", "head", database=cron.name)
    assert cron.row(JOBS).schedule == "*/15 * * * *"


def test_schedule_creates_changes_and_repairs_the_one_job(cron: Database) -> None:
    deploy("upgrade", "head", database=cron.name)
    jobid = cron.row(JOBS).jobid

    assert cron.value("select class_activation.schedule('0 * * * *', '06:30')") == jobid
    changed = cron.row(JOBS)
    assert (changed.schedule, changed.command) == ("0 * * * *", COMMAND)
    cron.execute("select cron.alter_job(jobid, active => false) from cron.job")
    cron.execute("select class_activation.schedule()")
    assert cron.row(JOBS)[1:] == changed[1:]

    assert cron.value("select class_activation.unschedule()") == 1
    assert cron.value("select class_activation.unschedule()") == 0
    assert cron.rows("select * from cron.job") == []
    cron.execute("select class_activation.schedule()")
    assert cron.row(JOBS)[1:] == changed[1:]


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        # nothing given: an upgrade leaves the schedule alone, even if it repairs a function
        ([], None),
        (["schedule=off"], None),
        (["schedule=7 * * * *"], "7 * * * *"),
    ],
)
def test_an_upgrade_at_head_changes_the_schedule_only_when_asked_to(
    cron: Database, option: list[str], expected: str | None
) -> None:
    deploy("upgrade", "head", database=cron.name)
    cron.execute("select class_activation.schedule('0 * * * *', '06:30')")
    cron.execute("drop function class_activation.version()")
    for jobs in (1, 0):
        before = cron.rows(JOBS)
        assert len(before) == jobs

        deploy("upgrade", "head", database=cron.name, x=option)

        if expected:
            assert cron.row(JOBS).schedule == expected
        else:
            assert cron.rows(JOBS) == before
        cron.execute("select class_activation.unschedule()")
    assert str(cron.value("select not_before from class_activation.settings")) == "06:30:00"


def test_a_first_installation_tells_what_it_will_do(cron: Database) -> None:
    for start_dt in ("2019-03-04", "2026-03-02", "2999-01-01"):
        cron.class_(start_dt=start_dt)
    said = alembic("upgrade", "head", database=cron.name, x=["schedule=7 * * * *"]).stderr
    assert re.search(
        r"2 classes are due and start at the next tick, \d\d:07 UTC; the oldest since 2019-03-04", said
    )


def test_a_tick_leaves_a_heartbeat_and_a_row_of_runs_only_if_it_did_something(cron: Database) -> None:
    deploy("upgrade", "head", database=cron.name)
    assert cron.value(COMMAND) == 0
    assert cron.value("select count(*) from class_activation.ticks") == 1
    assert cron.rows("select * from class_activation.runs") == []
    cron.class_()
    # another tick that is still open makes none wait
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


def test_health_and_preview_use_the_hour_that_is_set(cron: Database) -> None:
    deploy("upgrade", "head", database=cron.name)
    cron.class_(cron.facility("America/Chicago"), "2999-01-01")

    cron.execute("select class_activation.schedule(p_not_before => '06:30')")

    for sql in (
        "select due_at from class_activation.preview()",
        "select next_due_at from class_activation.health()",
    ):
        assert cron.value(sql).astimezone(UTC).isoformat() == "2999-01-01T12:30:00+00:00"
    assert cron.row(JOBS).schedule == "*/15 * * * *"


def test_a_job_scheduled_by_hand_after_an_installation_without_pg_cron_is_removed_too(cron: Database) -> None:
    deploy("upgrade", "head", database=cron.name, x=["schedule=off"])
    cron.execute("select cron.schedule('activate_scheduled_classes', '* * * * *', %s)", COMMAND)

    deploy("downgrade", "base", database=cron.name)

    assert cron.rows(JOBS) == []


def test_a_plain_owner_and_a_superuser_share_one_job(cron: Database, role: str) -> None:
    own_platform(cron, role)
    cron.execute(f"grant usage on schema cron to {role}")
    as_role = [f"url={url(cron.name, user=role, password='secret')}"]

    deploy("upgrade", "head", database="nowhere", x=as_role)
    by_owner = cron.row(JOBS)
    assert by_owner.username == role
    cron.execute("select class_activation.schedule('1 * * * *')")
    assert cron.row(JOBS).jobid == by_owner.jobid
    # a job of another role for the same database is one too many
    cron.execute("select cron.schedule('activate_scheduled_classes', '2 * * * *', 'select 1')")
    cron.execute("select class_activation.schedule()")
    assert cron.row(JOBS).jobid == by_owner.jobid

    deploy("downgrade", "base", database="nowhere", x=as_role)
    assert cron.rows(JOBS) == []


def test_without_usage_on_schema_cron_the_error_says_what_to_grant(cron: Database, role: str) -> None:
    own_platform(cron, role)
    as_role = [f"url={url(cron.name, user=role, password='secret')}"]

    process = alembic("upgrade", "head", database="nowhere", x=as_role)

    assert process.returncode != 0
    remedy = f"grant usage on schema cron to {role};"
    assert remedy in process.stderr
    cron.execute(remedy)
    deploy("upgrade", "head", database="nowhere", x=as_role)
    assert cron.row(JOBS).username == role
    deploy("downgrade", "base", database="nowhere", x=as_role)


def test_without_the_extension_the_error_says_what_a_superuser_must_run(cron: Database, role: str) -> None:
    own_platform(cron, role)
    cron.execute("drop extension pg_cron")
    bare = cron.catalog()
    as_role = [f"url={url(cron.name, user=role, password='secret')}"]

    process = alembic("upgrade", "head", database="nowhere", x=as_role)

    assert process.returncode != 0
    assert cron.catalog() == bare
    remedy = f"create extension pg_cron; grant usage on schema cron to {role};"
    assert remedy in process.stderr
    cron.execute(remedy)
    deploy("upgrade", "head", database="nowhere", x=as_role)
    assert cron.row(JOBS).username == role
    deploy("downgrade", "base", database="nowhere", x=as_role)


def test_a_superuser_creates_the_extension(cron: Database) -> None:
    cron.execute("drop extension pg_cron")
    deploy("upgrade", "head", database=cron.name)
    assert cron.row(JOBS).active


def test_in_another_database_than_pg_crons_the_refusal_names_cron_url(
    pg_cron: Database, platform: Database
) -> None:
    before = platform.catalog()

    process = alembic("upgrade", "head", database=platform.name)

    assert process.returncode != 0
    assert "-x cron_url=postgresql://" in process.stderr
    assert platform.catalog() == before


@pytest.mark.parametrize("plain", [False, True])
def test_by_hand_in_another_database_leaves_the_settings_as_alembic_does(
    pg_cron: Database, platform: Database, role: str, plain: bool
) -> None:
    own_platform(platform, role)
    pg_cron.execute(f"grant usage on schema cron to {role}")
    pg_cron.execute(f"grant execute on function cron.schedule_in_database to {role}")
    who = {"user": role, "password": "secret"} if plain else {}
    deploy("upgrade", "head", database=platform.name, x=["schedule=off"])

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
    forgotten = alembic("downgrade", "base", database=platform.name)
    assert (forgotten.returncode != 0, "-x cron_url" in forgotten.stderr) == (True, True)
    deploy("downgrade", "base", database=platform.name, x=elsewhere)
    assert pg_cron.rows(JOBS) == []


def test_a_copy_does_not_take_the_job_of_the_original(
    pg_cron: Database, templates: dict[tuple[str, str], str], role: str
) -> None:
    elsewhere = [f"cron_url={url(pg_cron.name)}"]
    names = [f"{role}_original", f"{role}_copy"]
    pg_cron.execute(f"create database {names[0]} template {templates['classes', 'platform']}")
    deploy("upgrade", "head", database=names[0], x=elsewhere)
    pg_cron.execute(f"create database {names[1]} template {names[0]}")

    deploy("upgrade", "head", database=names[1])
    assert [job.database for job in pg_cron.rows(JOBS)] == names[:1]
    deploy("upgrade", "head", database=names[1], x=elsewhere)
    assert [job.database for job in pg_cron.rows(JOBS)] == names
    for name in names:
        deploy("downgrade", "base", database=name, x=elsewhere)
        pg_cron.execute(f"drop database {name} with (force)")
    assert pg_cron.rows(JOBS) == []


def test_all_that_is_missing_is_one_list(pg_cron: Database, platform: Database, role: str) -> None:
    before = platform.catalog()
    platform.execute(f"revoke connect on database {platform.name} from public")
    elsewhere = [f"cron_url={url(pg_cron.name, user=role, password='secret')}"]

    process = alembic("upgrade", "head", database=platform.name, x=elsewhere)

    assert process.returncode != 0
    assert platform.catalog() == before
    named = re.findall(r"\((\w[^()]*;)\)", process.stderr)
    assert len(named) == 3
    for grant in named:
        pg_cron.execute(grant)
    deploy("upgrade", "head", database=platform.name, x=elsewhere)
    job = pg_cron.row(JOBS)
    assert (job.database, job.username) == (platform.name, role)
    # and the deployment has granted it the job
    platform.connect(user=role, password="secret").execute(job.command)
    deploy("downgrade", "base", database=platform.name, x=elsewhere)
    assert pg_cron.rows(JOBS) == []
    platform.execute(f"revoke connect on database {platform.name} from {role}")


def test_a_pg_cron_that_calls_no_other_database_is_refused(pg_cron: Database, platform: Database) -> None:
    pg_cron.execute("alter function cron.schedule_in_database rename to away")
    process = alembic("upgrade", "head", database=platform.name, x=[f"cron_url={url(pg_cron.name)}"])
    pg_cron.execute("alter function cron.away rename to schedule_in_database")
    assert "function cron.schedule_in_database (Neon has none" in process.stderr
    assert not platform.value("select to_regnamespace('class_activation') is not null")


def test_a_script_for_two_databases_is_refused(platform: Database) -> None:
    process = alembic(
        "upgrade", "head", "--sql", database=platform.name, x=["cron_url=postgresql:///postgres"]
    )

    assert process.returncode != 0
    assert "-x schedule=off" in process.stderr


def test_the_server_of_the_tests_is_the_one_that_pg_variables_name(pg_cron: Database) -> None:
    assert pg_cron.connection.info.port == int(os.environ.get("PGPORT", "5432"))
    assert datetime.now(UTC) - pg_cron.value("select now()") < timedelta(minutes=1)


def test_an_old_pg_cron_is_refused_before_anything_is_done(cron: Database) -> None:
    before = cron.catalog()
    (version,) = cron.row("select extversion from pg_extension where extname = 'pg_cron'")
    cron.execute("update pg_extension set extversion = '1.3' where extname = 'pg_cron'")
    try:
        for database, x in ((cron, []), (cron, [f"cron_url={url(cron.name)}"])):
            process = alembic("upgrade", "head", database=database.name, x=x)
            assert process.returncode != 0
            assert re.search(r"1\.3, and 1\.4 is needed|pg_cron 1\.4 \(it is 1\.3", process.stderr)
    finally:
        cron.execute("update pg_extension set extversion = %s where extname = 'pg_cron'", version)
    assert cron.catalog() == before


def test_a_cron_url_without_pg_cron_leaves_nothing(platform: Database, empty: Database) -> None:
    before = platform.catalog()

    process = alembic("upgrade", "head", database=platform.name, x=[f"cron_url={url(empty.name)}"])

    assert process.returncode != 0
    assert f"in database {empty.name} extension pg_cron" in process.stderr
    assert platform.catalog() == before


@needs_docker
def test_a_cron_url_to_another_server_leaves_nothing(pg_cron: Database, platform: Database) -> None:
    before = platform.catalog()
    with container() as other:
        other.database().execute("create extension pg_cron")
        there = url("postgres").replace(f":{os.environ['PGPORT']}/", f":{other.env['PGPORT']}/")
        process = alembic("upgrade", "head", database=platform.name, x=[f"cron_url={there}"])

    assert process.returncode != 0
    assert "of another server than the platform's" in process.stderr
    assert platform.catalog() == before


@pytest.mark.slow
def test_a_fleet_of_platforms_shares_one_pg_cron_and_each_can_leave(
    pg_cron: Database, templates: dict[tuple[str, str], str]
) -> None:
    elsewhere = [f"cron_url={url(pg_cron.name)}"]
    fleet = []
    for number in range(8):
        name = f"class_activation_fleet_{number}"
        pg_cron.execute(f"create database {name} template {templates['classes', 'platform']}")
        fleet.append(Database(name))
        deploy("upgrade", "head", database=name, x=[*elsewhere, "schedule=* * * * *"])
    jobs = "select jobname, database from cron.job order by jobid"
    assert {tuple(row) for row in pg_cron.rows(jobs)} == {
        (f"activate_scheduled_classes@{db.name}", db.name) for db in fleet
    }

    classes = [db.class_() for db in fleet]
    wait_until(
        lambda: {db.status(c) for db, c in zip(fleet, classes, strict=True)} == {"Active"}, timeout=130
    )

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
    for db in fleet:
        db.close()
        pg_cron.execute(f"drop database {db.name} with (force)")
