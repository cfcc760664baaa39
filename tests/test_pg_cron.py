"""pg_cron: one job, whichever role schedules it, and it fires."""

import os
from datetime import datetime, timedelta, timezone

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
    now = cron.value("select clock_timestamp()").astimezone(timezone.utc)
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


def test_however_often_it_is_deployed_there_is_one_job(cron: Database) -> None:
    for _ in range(2):
        deploy("upgrade", "head", database=cron.name)
        job = cron.row(JOBS)
        assert (job.schedule, job.command, job.database, job.active) == (
            "*/15 * * * *",
            COMMAND,
            cron.name,
            True,
        )
        deploy("downgrade", "base", database=cron.name)
        assert cron.rows(JOBS) == []


def test_plpgsql_check_finds_nothing_in_any_function(cron: Database) -> None:
    deploy("upgrade", "head", database=cron.name)
    cron.execute("create extension if not exists plpgsql_check")

    findings = cron.rows(
        r"""
        select p.oid::regprocedure::text, c
        from pg_proc p
        cross join lateral plpgsql_check_function(p.oid, fatal_errors => false, all_warnings => true) c
        where (p.pronamespace = 'class_activation'::regnamespace or p.proname = 'activate_scheduled_classes')
          -- what it says of dynamic statements, which sql/platform formats with %I and %L
          and c ~ '^(error|warning|performance|security|compatibility)'
          and c !~ 'cannot determine a result of dynamic SQL'
          -- newer versions take the array of doctor's parts for the name of one
          and c !~ 'class_activation\.\{doctor_'
          and c !~ 'OUT variable ".*" is maybe unmodified'
          and c !~ 'marked as VOLATILE, should be STABLE'
          and not (c ~ 'not sanitized' and p.proname in ('write', 'fire_deferred_triggers', 'lock_classes'))
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
    assert "'every morning'" in process.stderr
    assert cron.catalog() == before
    deploy("upgrade", "head", database=cron.name)
    assert cron.row(JOBS).schedule == "*/15 * * * *"


def test_schedule_changes_and_reactivates_the_one_job(cron: Database) -> None:
    deploy("upgrade", "head", database=cron.name)
    jobid = cron.row(JOBS).jobid

    assert cron.value("select class_activation.schedule('0 * * * *', '06:30')") == jobid
    job = cron.row(JOBS)
    assert (job.schedule, job.command) == ("0 * * * *", COMMAND.replace("05:00", "06:30"))

    changed = cron.row(JOBS)
    cron.execute("select cron.alter_job(jobid, active => false) from cron.job")
    cron.execute("select class_activation.schedule()")
    assert cron.row(JOBS)[1:] == changed[1:]

    assert cron.value("select class_activation.unschedule()") == 2
    assert cron.value("select class_activation.unschedule()") == 0
    assert cron.rows("select * from cron.job") == []
    cron.execute("select class_activation.schedule()")
    assert cron.row(JOBS)[1:] == changed[1:]


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        # nothing given: an upgrade leaves the schedule alone, also when it heals a function
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
            job = cron.row(JOBS)
            assert (job.schedule, job.command) == (expected, COMMAND.replace("05:00", "06:30"))
        else:
            assert cron.rows(JOBS) == before
        cron.execute("select class_activation.unschedule()")
    assert str(cron.value("select not_before from class_activation.settings")) == "06:30:00"


def test_health_and_preview_go_by_the_hour_that_is_set(cron: Database) -> None:
    deploy("upgrade", "head", database=cron.name)
    cron.class_(cron.facility("America/Chicago"), "2999-01-01")

    cron.execute("select class_activation.schedule(p_not_before => '06:30')")

    for sql in (
        "select due_at from class_activation.preview()",
        "select next_due_at from class_activation.health()",
    ):
        assert cron.value(sql).astimezone(timezone.utc).isoformat() == "2999-01-01T12:30:00+00:00"
    assert cron.row(JOBS).schedule == "*/15 * * * *"


def test_a_job_scheduled_by_hand_after_an_installation_without_pg_cron_is_removed_too(cron: Database) -> None:
    deploy("upgrade", "head", database=cron.name, x=["schedule=off"])
    cron.execute("select cron.schedule('activate_scheduled_classes', '* * * * *', %s)", COMMAND)

    deploy("downgrade", "base", database=cron.name)

    assert cron.rows(JOBS) == []


def test_a_role_that_cannot_see_the_job_does_not_leave_it_behind(cron: Database, role: str) -> None:
    own_platform(cron, role)
    cron.execute(f"grant usage on schema cron to {role}")
    as_role = [f"url={url(cron.name, user=role, password='secret')}"]
    deploy("upgrade", "head", database="nowhere", x=as_role)
    cron.execute("select cron.unschedule(jobid) from cron.job")
    cron.execute("select cron.schedule('activate_scheduled_classes', '* * * * *', %s)", COMMAND)

    process = alembic("downgrade", "base", database="nowhere", x=as_role)

    assert f"not visible to role {role}" in process.stderr
    assert cron.value("select class_activation.version()") == "1.0.0"
    cron.execute(process.stderr.split("superuser run: ")[1].split(";")[0])
    cron.execute("update class_activation.settings set active = false")
    deploy("downgrade", "base", database="nowhere", x=as_role)
    assert cron.rows(JOBS) == []


def test_a_job_of_a_role_that_was_renamed_is_not_left_behind(cron: Database, role: str) -> None:
    own_platform(cron, role)
    cron.execute(f"grant usage on schema cron to {role}")
    renamed = f"{role}_renamed"
    deploy("upgrade", "head", database=cron.name, x=[f"url={url(cron.name, user=role, password='secret')}"])
    cron.execute(f"alter role {role} rename to {renamed}; alter role {renamed} password 'secret'")
    as_role = [f"url={url(cron.name, user=renamed, password='secret')}"]
    deploy("upgrade", "head", database=cron.name, x=as_role)
    defect = cron.row("select * from class_activation.doctor() where check_name = 'job_roles_exist'")
    assert (defect.level, role in defect.detail) == ("error", True)

    process = alembic("downgrade", "base", database=cron.name, x=as_role)

    assert f"not visible to role {renamed}" in process.stderr
    deploy("upgrade", "head", database=cron.name, x=["schedule=*/15 * * * *"])
    assert [row.username for row in cron.rows(JOBS)] == [renamed]
    deploy("downgrade", "base", database=cron.name, x=as_role)
    assert cron.rows("select * from cron.job") == []
    cron.execute(f"alter role {renamed} rename to {role}")


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


def test_schedule_in_another_database_names_the_statement_to_run_there(
    pg_cron: Database, db: Database
) -> None:

    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as error:
        db.execute("select class_activation.schedule('7 * * * *')")

    hint = error.value.diag.message_hint
    pg_cron.execute(hint.split("run there: ")[1].split(" and here: ")[0])
    job = pg_cron.row(JOBS)
    assert (job.schedule, job.command, job.database, job.active) == ("7 * * * *", COMMAND, db.name, True)
    assert "housekeeping" in pg_cron.value("select string_agg(command, ' ') from cron.job")
    db.execute(hint.split(" and here: ")[1].split(";")[0].replace("THAT DATABASE", pg_cron.name))
    forgotten = alembic("downgrade", "base", database=db.name)
    assert "-x cron_url" in forgotten.stderr
    deploy("downgrade", "base", database=db.name, x=[f"cron_url={url(pg_cron.name)}"])
    assert pg_cron.rows("select * from cron.job") == []


def test_a_plain_role_is_named_a_statement_that_pg_cron_takes_from_it(
    pg_cron: Database, platform: Database, role: str
) -> None:
    pg_cron.execute(f"grant usage on schema cron to {role}")
    pg_cron.execute(f"grant execute on function cron.schedule_in_database to {role}")
    own_platform(platform, role)
    deploy("upgrade", "head", database=platform.name, x=["schedule=off"])

    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as error:
        platform.connect(user=role, password="secret").execute("select class_activation.schedule()")

    statements = error.value.diag.message_hint.split("run there: ")[1].split(" and here: ")[0]
    pg_cron.connect(user=role, password="secret").execute(statements)
    job = pg_cron.row(JOBS)
    assert (job.database, job.username) == (platform.name, role)
    pg_cron.execute("select cron.unschedule(jobid) from cron.job")


def test_the_job_of_a_database_that_was_renamed_is_removed_as_the_hint_says(cron: Database) -> None:
    deploy("upgrade", "head", database=cron.name, x=["schedule=off"])
    cron.execute(
        "select cron.schedule_in_database('activate_scheduled_classes', '* * * * *', %s, 'template1')",
        COMMAND,
    )

    with pytest.raises(psycopg.errors.DuplicateObject, match="another database: template1") as error:
        cron.execute("select class_activation.schedule()")

    assert cron.row(JOBS).database == "template1"
    cron.execute(error.value.diag.message_hint.split(f"in database {cron.name}: ")[1].split(";")[0])
    cron.execute("select class_activation.schedule()")
    assert cron.row(JOBS).database == cron.name


def test_cron_url_schedules_the_job_from_pg_crons_database(pg_cron: Database, platform: Database) -> None:
    bare = platform.catalog()
    elsewhere = [f"cron_url={url(pg_cron.name)}"]

    deploy("upgrade", "head", database=platform.name, x=elsewhere)
    job = pg_cron.row(JOBS)
    assert (job.schedule, job.command, job.database, job.active) == (
        "*/15 * * * *",
        COMMAND,
        platform.name,
        True,
    )

    forgotten = alembic("downgrade", "base", database=platform.name)
    assert forgotten.returncode != 0
    assert "-x cron_url" in forgotten.stderr
    assert pg_cron.row(JOBS) == job

    deploy("downgrade", "base", database=platform.name, x=elsewhere)
    assert pg_cron.rows(JOBS) == []
    assert platform.catalog() == bare


def test_a_role_that_may_not_schedule_or_run_the_job_is_told_what_to_grant(
    pg_cron: Database, platform: Database, role: str
) -> None:
    pg_cron.execute(f"grant usage on schema cron to {role}")
    elsewhere = [f"cron_url={url(pg_cron.name, user=role, password='secret')}"]

    process = alembic("upgrade", "head", database=platform.name, x=elsewhere)

    assert process.returncode != 0
    remedy = f"grant execute on function cron.schedule_in_database to {role};"
    assert remedy in process.stderr
    assert pg_cron.rows(JOBS) == []
    pg_cron.execute(remedy)
    deploy("upgrade", "head", database=platform.name, x=elsewhere)
    job = pg_cron.row(JOBS)
    assert (job.database, job.username) == (platform.name, role)
    platform.connect(user=role, password="secret").execute(job.command)
    deploy("downgrade", "base", database=platform.name, x=elsewhere)
    assert pg_cron.rows(JOBS) == []


def test_a_script_for_two_databases_is_refused(platform: Database) -> None:
    process = alembic(
        "upgrade", "head", "--sql", database=platform.name, x=["cron_url=postgresql:///postgres"]
    )

    assert process.returncode != 0
    assert "-x schedule=off" in process.stderr


def test_the_server_of_the_tests_is_the_one_that_pg_variables_name(pg_cron: Database) -> None:
    assert pg_cron.connection.info.port == int(os.environ.get("PGPORT", "5432"))
    assert datetime.now(timezone.utc) - pg_cron.value("select now()") < timedelta(minutes=1)


def test_an_old_pg_cron_is_refused_before_anything_is_done(cron: Database) -> None:
    before = cron.catalog()
    (version,) = cron.row("select extversion from pg_extension where extname = 'pg_cron'")
    cron.execute("update pg_extension set extversion = '1.3' where extname = 'pg_cron'")
    try:
        for database, x in ((cron, []), (cron, [f"cron_url={url(cron.name)}"])):
            process = alembic("upgrade", "head", database=database.name, x=x)
            assert process.returncode != 0
            assert "1.3, and 1.4 is needed" in process.stderr
    finally:
        cron.execute("update pg_extension set extversion = %s where extname = 'pg_cron'", version)
    assert cron.catalog() == before


def test_a_cron_url_without_pg_cron_leaves_nothing(platform: Database, empty: Database) -> None:
    before = platform.catalog()

    process = alembic("upgrade", "head", database=platform.name, x=[f"cron_url={url(empty.name)}"])

    assert process.returncode != 0
    assert f"database {empty.name}, which has no extension pg_cron" in process.stderr
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
        (f"{job}@{db.name}", db.name)
        for db in fleet
        for job in ("activate_scheduled_classes", "class_activation_housekeeping")
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
