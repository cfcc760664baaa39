"""Bad nights, with pg_cron in the platform's database and in another one, as on a managed service.

A plain role owns the platform and installs; an administrator may create roles and monitor. Only the role that
breaks something is a superuser. The doctor names the cause, and its fix, typed as printed by the role that it
names, cures it.
"""

import re
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from harness import COMMAND, Database, alembic, as_role, deploy, own_platform, url, wait_until

NAME = "activate_scheduled_classes"
WATCH = """
grant execute on function class_activation.health, class_activation.preview, class_activation.version,
  class_activation.doctor, class_activation.doctor_installation, class_activation.doctor_platform,
  class_activation.doctor_pg_cron to {role}
"""


class Service:
    """A platform of a plain owner, and pg_cron in the same or in another database, with one job."""

    def __init__(self, db: Database, cron: Database, owner: str, admin: str) -> None:
        self.db, self.cron, self.owner, self.admin = db, cron, owner, admin
        self.elsewhere = db is not cron

    def x(self, role: str | None = None) -> list[str]:
        """Return the options of a deployment by ROLE, by default the owner."""
        role = role or self.owner
        there = [f"cron_url={url(self.cron.name, user=role, password='secret')}"]
        return as_role(self.db, role, *(there if self.elsewhere else []))

    @property
    def name(self) -> str:
        return f"{NAME}@{self.db.name}" if self.elsewhere else NAME

    def sql(self, sql: str, role: str | None = None, db: Database | None = None) -> list:
        """Run statements as ROLE, by default a superuser, and return the last rows."""
        who = {"user": role, "password": "secret"} if role not in (None, "postgres") else {}
        with closing((db or self.db).connect(**who)) as connection:
            cursor = connection.execute(sql)
            while cursor.nextset():
                pass
            return cursor.fetchall() if cursor.description else []

    def jobs(self) -> list:
        return self.cron.rows(
            "select schedule, command, database, username, active from cron.job where jobname ~ %s", NAME
        )

    def doctor(self, role: str | None = None) -> dict:
        """Return the rows of doctor that are not ok, by check, as ROLE sees them."""
        doctor = "set row_security = off; select * from class_activation.doctor() where level <> 'ok'"
        rows = self.sql(doctor, role or self.owner)
        return {row.check_name: row for row in rows}

    def pg_cron_calls(self) -> None:
        """Call the job as pg_cron does at its next tick, if the job is active and on schedule."""
        for job in self.jobs():
            if job.active and job.schedule == "*/15 * * * *":
                with psycopg.connect(dbname=job.database, user=job.username, password="secret") as pg_cron:
                    pg_cron.execute("set row_security = off; set lock_timeout = '1ms'")
                    pg_cron.execute(job.command)

    def an_hour_passes(self) -> None:
        self.db.execute("update class_activation.ticks set ticked_at = ticked_at - interval '1 hour'")
        self.db.execute(
            "update class_activation.settings set scheduled_at = scheduled_at - interval '1 hour'"
        )

    def cure(self, fix: str, role: str | None = None, superuser: bool = False) -> None:
        """Type a fix as printed, in the database and as the role that it names."""
        database = re.match(r"-- in database (\w+)", fix)
        named = re.match(r"-- .*as (?:role (\w+)|a superuser(?: or, if there is none, as role (\w+))?)", fix)
        if named:
            role = None if superuser else named[1] or named[2]
        elif fix.endswith("-- as a superuser"):
            role = None
        self.sql(fix, role, self.cron if database else self.db)


@pytest.fixture(params=["here", "elsewhere"])
def service(request: pytest.FixtureRequest, pg_cron: Database, role: str, other: str) -> Service:
    """A service on which all is well."""
    pg_cron.execute(f"alter role {other} createrole; grant pg_monitor to {other}")
    if request.param == "here":
        db = request.getfixturevalue("cron")
    else:
        db = request.getfixturevalue("new_database")()
        pg_cron.execute(f"grant execute on function cron.schedule_in_database to {role}")
    own_platform(db, role)
    pg_cron.execute(f"grant usage on schema cron to {role}")
    service = Service(db, pg_cron, owner=role, admin=other)
    deploy("upgrade", "head", database="nowhere", x=service.x())
    db.facility()
    service.pg_cron_calls()
    assert service.jobs() == [("*/15 * * * *", COMMAND, db.name, role, True)]
    assert service.doctor() == {} == service.doctor("postgres")
    return service


# for nights on which it makes no difference where pg_cron is
ONE_IS_ENOUGH = pytest.mark.parametrize("service", ["here"], indirect=True)


# a change of the job in pg_cron, and the finding if pg_cron is in the platform's database
EDITS = {
    "gone": ("select cron.unschedule({job})", "there is no job"),
    "inactive": ("select cron.alter_job({job}, active => false)", "is not active"),
    "schedule": (
        "select cron.alter_job({job}, schedule => '0 11 * * 1')",
        "has the schedule 0 11 * * 1, not",
    ),
    "command": ("select cron.alter_job({job}, command => 'select 1')", "runs select 1"),
    "database": ("select cron.alter_job({job}, database => 'template1')", "is for database template1"),
    "role": ("select cron.alter_job({job}, username => '{admin}')", "belongs to role"),
}


@pytest.mark.parametrize(("edit", "detail"), EDITS.values(), ids=EDITS)
def test_a_job_that_was_edited_in_pg_cron_is_repaired(service: Service, edit: str, detail: str) -> None:
    job = service.cron.value("select jobid from cron.job")
    service.cron.execute(edit.format(job=job, admin=service.admin))
    service.an_hour_passes()

    for role in (service.owner, "postgres"):
        found = service.doctor(role)
        assert found["ticks"].level == "error"
        if not service.elsewhere and (role == "postgres" or "role" not in detail):
            assert detail in found["job"].detail
    # the owner cannot see a job of another role
    service.cure(found["ticks"].fix, "postgres", superuser="role" in detail)

    assert service.jobs() == [("*/15 * * * *", COMMAND, service.db.name, service.owner, True)]
    service.pg_cron_calls()
    assert service.doctor() == {} == service.doctor("postgres")


@pytest.mark.parametrize("service", ["elsewhere"], indirect=True)
def test_the_fix_for_another_database_shows_its_job(service: Service) -> None:
    service.an_hour_passes()
    shows = service.doctor()["ticks"].fix.split("\n")[1]
    (row,) = service.sql(shows, service.owner, service.cron)
    assert (row.jobname, row.username) == (service.name, service.owner)
    assert (row.role_exists, row.database_exists, row.launcher_runs) == (True, True, True)
    service.cron.execute(
        "insert into cron.job_run_details (jobid, runid, return_message) select jobid, r.* from cron.job"
        " cross join (values (-2, 'no such role'), (-1, 'no such host')) r where jobname = %s",
        service.name,
    )
    assert service.sql(shows, db=service.cron)[0].return_message == "no such host"
    service.cron.execute("delete from cron.job_run_details where runid < 0")
    service.cron.execute("select cron.unschedule(jobid) from cron.job")
    row = service.sql(shows, service.owner, service.cron)[0]
    assert (row.jobid, row.role_exists, row.database_exists) == (None, False, False)


@ONE_IS_ENOUGH
def test_a_lost_right_on_schema_cron_is_found_when_ticks_are_missing(service: Service) -> None:
    service.cron.execute(f"revoke usage on schema cron from {service.owner}")
    assert service.doctor() == {}
    service.an_hour_passes()
    service.cure(service.doctor()["pg_cron"].fix)
    service.pg_cron_calls()
    assert service.doctor() == {}


@pytest.mark.parametrize("by", ["the owner", "a superuser"])
def test_a_renamed_owner_gets_no_second_job(service: Service, by: str) -> None:
    new = f"{service.owner}_renamed"
    service.cron.execute(f"alter role {service.owner} rename to {new}; alter role {new} password 'secret'")
    old, service.owner = service.owner, new
    try:
        service.an_hour_passes()
        with pytest.raises(psycopg.Error, match=r"belongs to role|in another database"):
            service.sql("select class_activation.schedule()", new)
        for command in (("upgrade", "head"), ("downgrade", "base")):
            schedule = ["schedule=*/15 * * * *"] if command[0] == "upgrade" else []
            process = alembic(*command, database="nowhere", x=[*service.x(), *schedule])
            assert process.returncode != 0
            assert old in process.stderr
        assert [job.username for job in service.jobs()] == [old]

        fix = service.doctor()["ticks" if service.elsewhere else "job"].fix
        renames = f"-- or, if that role is now {new}: alter role {new} rename to {old};"
        assert (renames in fix) != service.elsewhere
        if by == "a superuser":
            service.cure(fix)
            assert [job.username for job in service.jobs()] == [new]
            assert service.db.value("select job_username from class_activation.settings") in (old, new)
            deploy("upgrade", "head", database="nowhere", x=service.x())
            service.pg_cron_calls()
            assert service.doctor() == {}
            deploy("downgrade", "base", database="nowhere", x=service.x())
    finally:
        service.cron.execute(f"alter role {new} rename to {old}; alter role {old} password 'secret'")
        service.owner = old
    if by == "the owner":
        service.pg_cron_calls()
        assert service.doctor() == {}
        deploy("downgrade", "base", database="nowhere", x=service.x())
    assert service.jobs() == []


@pytest.mark.parametrize("service", ["elsewhere"], indirect=True)
def test_a_renamed_database_gets_no_second_job(service: Service) -> None:
    old, new = service.db.name, f"{service.db.name}_renamed"
    service.db.close()
    service.cron.execute(f"alter database {old} rename to {new}")
    try:
        with closing(Database(new)) as service.db:
            service.an_hour_passes()

            service.cure(service.doctor()["ticks"].fix)
            assert [job.database for job in service.jobs()] == [new]
            deploy("upgrade", "head", database="nowhere", x=service.x())
            service.pg_cron_calls()
            assert service.doctor() == {}
            assert [job.database for job in service.jobs()] == [new]
            deploy("downgrade", "base", database="nowhere", x=service.x())
            assert service.jobs() == []
    finally:
        service.cron.execute(f"alter database {new} rename to {old}")


def test_a_role_that_cannot_see_the_job_schedules_no_second_one(service: Service) -> None:
    admin = service.admin
    service.cron.execute(f"grant {service.owner} to {admin}; grant usage on schema cron to {admin}")
    service.cron.execute(f"grant execute on function cron.schedule_in_database to {admin}")
    assert service.doctor(admin) == {}
    service.an_hour_passes()
    check, who = "job", f"as role {service.owner} or a superuser:"
    if service.elsewhere:
        check, who = "ticks", f"as a superuser or, if there is none, as role {service.owner};"
    assert who in service.doctor(admin)[check].fix

    for right in ("nobypassrls", "bypassrls"):
        service.cron.execute(f"alter role {admin} {right}")
        with pytest.raises(psycopg.Error) as error:
            service.sql("select class_activation.schedule('0 * * * *')", admin)
        assert f"as role {service.owner} or a superuser: " in error.value.diag.message_hint
        x = service.x(admin)
        upgrade = alembic("upgrade", "head", database="nowhere", x=[*x, "schedule=0 * * * *"])
        service.cron.execute(f"revoke execute on function cron.schedule_in_database from {admin}")
        downgrade = alembic("downgrade", "base", database="nowhere", x=x)
        service.cron.execute(f"grant execute on function cron.schedule_in_database to {admin}")
        assert f"role {service.owner}" in upgrade.stderr
        assert 0 not in (upgrade.returncode, downgrade.returncode)
        assert service.jobs() == [("*/15 * * * *", COMMAND, service.db.name, service.owner, True)]
    if not service.elsewhere:
        # nor if only pg_cron or only class_activation.settings know it
        for state in ("null", f"'{service.owner}'; select cron.unschedule(jobid) from cron.job"):
            service.db.execute(f"update class_activation.settings set job_username = {state}")
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match=f"to role {service.owner}"):
                service.sql("select class_activation.schedule()", admin)


def test_a_launcher_that_crashed_is_found_from_any_database(service: Service) -> None:
    service.db.execute(WATCH.format(role=service.admin))
    assert service.doctor(service.admin) == {}
    service.cron.execute("create role class_activation_gone login")
    service.cron.execute(
        "select cron.schedule_in_database('other', '0 0 1 1 *', 'select 1', current_database(),"
        " 'class_activation_gone')"
    )
    service.cron.execute("drop role class_activation_gone")
    service.cron.execute("select cron.schedule('reload', '0 0 1 1 *', 'select 1')")
    service.an_hour_passes()

    for role in (service.owner, service.admin, "postgres"):
        row = wait_until(lambda role=role: service.doctor(role).get("pg_cron_launcher"))
    if not service.elsewhere:
        assert "of role class_activation_gone" in service.doctor("postgres")["job_roles_exist"].detail
    else:
        shows = service.doctor()["ticks"].fix.split("\n")[1]
        wait_until(lambda: not service.sql(shows, db=service.cron)[0].launcher_runs)
    service.cure(row.fix)
    wait_until(lambda: "pg_cron_launcher" not in service.doctor())


def test_a_pause_is_a_setting_that_an_upgrade_keeps(service: Service) -> None:
    due = service.db.class_()
    service.sql("select class_activation.pause()", service.owner)
    deploy("upgrade", "head", database="nowhere", x=service.x())
    service.pg_cron_calls()
    assert service.db.status(due) == "Scheduled"
    health = service.sql("select * from class_activation.health()", service.owner)[0]
    assert (health.status, health.overdue_classes, health.seconds_since_last_run < 60) == ("warning", 0, True)
    assert list(service.doctor()) == ["pause"]

    # a pause that has ended no longer hides an overdue class
    service.db.execute("update class_activation.settings set paused_until = now()")
    assert service.sql("select status from class_activation.health()")[0].status == "critical"
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        service.sql("select class_activation.pause(now())", service.owner)
    service.sql("select class_activation.pause('2999-01-01')", service.owner)
    row = service.doctor()["pause"]
    assert "until 2999-01-01" in row.detail
    service.cure(row.fix, service.owner)
    service.pg_cron_calls()
    assert service.db.status(due) == "Active"


def test_the_hour_counts_from_the_next_tick(service: Service) -> None:
    sets = "set row_security = off; select class_activation.schedule(p_not_before => '06:30')"
    jobid = None if service.elsewhere else service.cron.value("select jobid from cron.job")
    assert service.sql(sets, service.owner) == [(jobid,)]
    service.db.class_(service.db.facility("America/Chicago"), "2999-01-01")
    half_past_six = datetime(2999, 1, 1, 12, 30, tzinfo=UTC)
    assert [row.due_at for row in service.db.preview().values()] == [half_past_six]
    assert service.db.health().next_due_at == half_past_six
    assert [job.schedule for job in service.jobs()] == ["*/15 * * * *"]

    service.pg_cron_calls()
    service.db.class_()
    service.pg_cron_calls()
    assert str(service.db.last_run().not_before) == "06:30:00"
    if not service.elsewhere:
        service.sql("set row_security = off; select class_activation.unschedule()", service.owner)
        assert (service.jobs(), service.db.health().job_active) == ([], False)


# a change in the platform's database, the check that finds it, its detail, and the cure (none: the fix)
NIGHTS: dict[str, tuple[str, str, str, str | None]] = {
    "system_batch deleted": (
        "update public.users set deleted_at = now() where username = 'system_batch'",
        "batch_user",
        "is deleted",
        None,
    ),
    "two users system_batch": (
        "insert into public.users (id, username, name_first, name_last, email, role)"
        " select 100000, username, '', '', '', role from public.users where username = 'system_batch'",
        "batch_user",
        "2 live users are named system_batch, and only user 99999",
        None,
    ),
    "settings row gone": ("delete from class_activation.settings", "settings", "has no row", None),
    "constraint": (
        "alter table public.program_classes add constraint never check (status <> 'Active') not valid",
        "problems",
        "1 class failed: class 1 (Class of 2026-03-02) at Facility in America/Chicago: 23514",
        "alter table public.program_classes drop constraint never",
    ),
}


@ONE_IS_ENOUGH
@pytest.mark.parametrize(("event", "name", "detail", "cure"), NIGHTS.values(), ids=NIGHTS)
def test_a_defect_of_the_platform_is_named_and_cured(
    service: Service, event: str, name: str, detail: str, cure: str | None
) -> None:
    service.db.execute(event)
    due = service.db.class_(1)
    if name == "problems":
        service.pg_cron_calls()
    findings = service.doctor()
    assert findings.keys() - {"overdue_classes"} == {name}
    row = findings[name]
    assert detail in row.detail
    service.sql(cure or row.fix, service.owner)
    if name != "settings":
        service.pg_cron_calls()
        assert service.db.status(due) == "Active"
        assert service.doctor() == {}
    assert name not in service.doctor()


@ONE_IS_ENOUGH
@pytest.mark.parametrize("only_enrollment", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_sessions_that_locked_a_class_are_named(
    service: Service, only_enrollment: bool, shared: bool
) -> None:
    due = service.db.class_(1, name="Welding")
    service.db.enrollment(due)
    strength = "for share" if shared else "for update"
    editors = [service.db.connect(user=service.owner, password="secret") for _ in range(1 + shared)]
    for editor in editors:
        editor.execute("begin")
        if not only_enrollment:
            editor.execute(f"select from public.program_classes where id = {due} {strength}")
        editor.execute("savepoint s")
        editor.execute(f"select from public.program_class_enrollments where class_id = {due} {strength}")
    service.pg_cron_calls()

    row = service.doctor()["locked_classes"]
    for editor in editors:
        assert row.detail.count(f"process {editor.info.backend_pid} of role {service.owner}") == 1
    assert "(Welding)" in row.detail
    assert row.fix.count("pg_terminate_backend") == len(editors)
    service.cure(row.fix, service.owner)
    service.pg_cron_calls()
    assert service.db.status(due) == "Active"


def in_time(call: Callable[[], Any]) -> Any:
    """Return the result of a call, or nothing if a timeout ended it, as on a busy machine."""
    try:
        return call()
    except psycopg.errors.QueryCanceled:
        return None


@ONE_IS_ENOUGH
def test_doctor_waits_for_no_migration_and_keeps_within_100_ms(service: Service) -> None:
    service.db.due_classes(500, start_dt="date '2999-01-01'")
    owner = service.db.connect(user=service.owner, password="secret")
    owner.execute("set statement_timeout = '100ms'")

    def doctor() -> dict[str, Any] | None:
        rows = in_time(lambda: owner.execute("select * from class_activation.doctor()").fetchall())
        return rows and {row.check_name: row for row in rows if row.level != "ok"}

    wait_until(lambda: doctor() == {})
    migration = service.db.connect()
    migration.execute("begin; lock table public.program_classes")
    process = f"process {migration.info.backend_pid} of role postgres on public.program_classes"
    assert wait_until(doctor)["platform"].detail == f"locked, as by a migration: {process}"
    migration.execute(
        "rollback; begin; lock table class_activation.settings, class_activation.installed_objects"
    )
    assert {row.level for row in wait_until(doctor).values()} == {"warning"}


@ONE_IS_ENOUGH
def test_a_run_ends_before_its_timeout_and_reports_the_classes_that_are_left(service: Service) -> None:
    service.db.due_classes(5000)
    service.db.execute(f"alter role {service.owner} set statement_timeout = '200ms'")
    # on a busy machine the timeout may end the first batch
    runs = "select count(*) from class_activation.runs"
    wait_until(lambda: in_time(service.pg_cron_calls) or service.db.value(runs))
    service.db.execute(f"alter role {service.owner} reset statement_timeout")

    left = service.db.value("select count(*) from public.program_classes where status = 'Scheduled'")
    assert service.db.last_run().classes_left == left > 0
    row = service.doctor()["timeouts"]
    assert f"left {left} classes to the next one" in row.detail
    service.cure(row.fix, service.owner)
    assert service.doctor() == {}
