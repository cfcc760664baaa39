"""doctor: break one thing at a time, see exactly that check turn, and mend it with the fix as printed."""

from typing import Any

import pytest
from harness import COMMAND, Database, deploy, wait_until

JOB = f"'activate_scheduled_classes', '*/15 * * * *', $${COMMAND}$$"

# check, how to break it, and what the detail then says
DEFECTS = [
    (
        "batch_user",
        "update public.users set deleted_at = now() where username = 'system_batch'",
        "system_batch",
    ),
    ("timezones", "update public.facilities set timezone = 'Mars/Phobos'", "'Mars/Phobos' at facility 1"),
    ("timezones", "update public.facilities set timezone = ''", "'' at facility 1"),
    ("timezone_names", "update public.facilities set timezone = 'UTC+5'", "'UTC+5' at facility 1"),
    ("last_run", "delete from class_activation.runs", "never run"),
    (
        "last_run",
        "update class_activation.runs set started_at = now() - interval '46 minutes'",
        "last ran at",
    ),
    (
        "overdue_classes",
        "insert into public.program_classes (program_id, facility_id, start_dt, status)"
        " values (1, 1, '2026-03-02', 'Scheduled')",
        "1 classes are due for more than an hour, the first since 2026-03-02",
    ),
    ("index", "drop index public.class_activation_due_idx", "is missing"),
    (
        "index",
        "update pg_index set indisvalid = false"
        " where indexrelid = 'public.class_activation_due_idx'::regclass",
        "is invalid",
    ),
    ("ownership", "alter function class_activation.doctor() owner to {role}", "class_activation.doctor()"),
    ("ownership", "alter table class_activation.runs owner to {role}", "class_activation.runs"),
    (
        "grants",
        "grant execute on function public.activate_scheduled_classes to public",
        "everybody may execute public.activate_scheduled_classes",
    ),
    (
        "overloads",
        "create function public.activate_scheduled_classes(p_not_before text) returns int"
        " language sql as 'select 1'",
        "activate_scheduled_classes(text)",
    ),
    ("job", "select class_activation.unschedule()", "there is no job"),
    (
        "job",
        f"select cron.schedule_in_database({JOB}, current_database(), '{{role}}')",
        "the job is scheduled 2 times",
    ),
    ("job_active", "select cron.alter_job(jobid, active => false) from cron.job", "is not active"),
    ("job_command", "select cron.alter_job(jobid, command => 'select 1') from cron.job", "runs select 1"),
]


def levels(db: Database) -> dict[str, str]:
    """Return the level of each check."""
    return {row.check_name: row.level for row in db.rows("select * from class_activation.doctor()")}


def check(db: Database, name: str) -> Any:
    """Return the row of one check."""
    return db.row("select * from class_activation.doctor() where check_name = %s", name)


@pytest.fixture
def patient(cron: Database) -> Database:
    """A database in which all is well."""
    deploy("upgrade", "head", database=cron.name)
    cron.program()
    cron.facility()
    cron.run()
    assert set(levels(cron).values()) == {"ok"}, cron.rows("select * from class_activation.doctor()")
    return cron


def test_where_all_is_well_nothing_is_to_be_fixed(patient: Database) -> None:
    rows = patient.rows("select * from class_activation.doctor()")
    assert len(rows) == 25
    assert all(row.detail and row.fix is None for row in rows)


@pytest.mark.parametrize(("name", "defect", "detail"), DEFECTS, ids=lambda value: value[:40])
def test_each_defect_turns_its_check_and_the_fix_as_printed_turns_it_back(
    patient: Database, role: str, name: str, defect: str, detail: str
) -> None:
    patient.execute(defect.format(role=role))

    assert {other: level for other, level in levels(patient).items() if level != "ok"}.keys() == {name}
    row = check(patient, name)
    assert detail in row.detail

    patient.execute(row.fix)
    assert set(levels(patient).values()) == {"ok"}


@pytest.mark.parametrize(
    ("timezone", "suggestion"),
    [
        # known to this server or not, a legacy name in the wrong case is none of the IANA database
        ("us/alaska", "America/Anchorage"),
        ("America/Anchorge", "America/Anchorage"),
        ("America/North_Dakota/Bismark", "America/North_Dakota/Beulah"),
        ("Mars/Phobos", "America/New_York"),
    ],
)
def test_a_zone_that_is_not_known_gets_a_suggestion(
    patient: Database, timezone: str, suggestion: str
) -> None:
    patient.execute("update public.facilities set timezone = %s", timezone)
    row = patient.row("select * from class_activation.doctor() where level <> 'ok'")
    assert f"set timezone = '{suggestion}'" in row.fix


def test_a_role_that_may_not_log_in_cannot_run_the_job(patient: Database, role: str) -> None:
    patient.execute("select class_activation.unschedule()")
    patient.execute(f"select cron.schedule_in_database({JOB}, current_database(), '{role}')")
    patient.execute(f"alter role {role} nologin")

    assert levels(patient)["job_role"] == "error"
    patient.execute(check(patient, "job_role").fix)
    assert set(levels(patient).values()) == {"ok"}


def test_a_job_of_a_role_that_is_gone_is_found_whatever_it_does(patient: Database) -> None:
    patient.execute("create role class_activation_gone login")
    patient.execute(
        "select cron.schedule_in_database('another job', '0 0 1 1 *', 'select 1', current_database(),"
        " 'class_activation_gone', false)"
    )
    patient.execute("drop role class_activation_gone")
    patient.execute("select class_activation.schedule('7 * * * *')")  # the launcher reads its jobs anew

    row = check(patient, "job_roles_exist")
    assert (row.level, "class_activation_gone" in row.detail) == ("error", True)
    wait_until(lambda: levels(patient)["pg_cron_launcher"] == "error")
    assert "job_roles_exist" in check(patient, "pg_cron_launcher").fix
    patient.execute(row.fix)
    assert levels(patient)["job_roles_exist"] == "ok"
    wait_until(lambda: levels(patient)["pg_cron_launcher"] == "ok")


def test_a_failed_or_stuck_run_is_found_until_the_next_one(patient: Database) -> None:
    insert = (
        "insert into cron.job_run_details (jobid, runid, database, status, return_message, start_time)"
        " select jobid, nextval('cron.runid_seq'), database, %s, %s, now() - interval '1 hour' from cron.job"
    )
    for status, said in (("failed", "server closed the connection"), ("connecting", "")):
        patient.execute(insert, status, said)
        row = check(patient, "job_runs")
        assert (row.level, status in row.detail, said in row.detail) == ("error", True, True)
        patient.execute(insert, "succeeded", "1 row")
        assert levels(patient)["job_runs"] == "ok"


def test_the_fix_of_a_job_keeps_the_rhythm_and_the_hour_that_were_chosen(patient: Database) -> None:
    chosen = "select schedule, command from cron.job where jobname = 'activate_scheduled_classes' and active"
    patient.execute("select class_activation.schedule('0 * * * *', '06:30')")
    job = patient.row(chosen)

    patient.execute("select cron.alter_job(jobid, active => false) from cron.job")
    patient.execute(check(patient, "job_active").fix)
    assert patient.row(chosen) == job

    patient.execute("create role class_activation_other login")
    patient.execute(f"select cron.schedule_in_database({JOB}, current_database(), 'class_activation_other')")
    patient.execute(check(patient, "job").fix)
    assert patient.row(chosen) == job
    patient.execute("drop role class_activation_other")


def test_a_class_that_failed_is_shown_with_its_reason(patient: Database) -> None:
    patient.class_(patient.facility())
    patient.execute(
        "alter table public.program_classes add constraint never check (status <> 'Active') not valid"
    )
    patient.run()

    row = check(patient, "problems")
    assert (row.level, "23514" in row.detail) == ("error", True)
    patient.execute("alter table public.program_classes drop constraint never")
    patient.run()
    assert levels(patient)["problems"] == "ok"


def test_a_clock_behind_the_last_run_is_found(patient: Database) -> None:
    patient.execute("update class_activation.runs set started_at = now() + interval '3 hours'")
    assert levels(patient)["clock"] == "error"


def test_a_platform_that_has_changed_is_found_and_nothing_else_is_asked(patient: Database) -> None:
    patient.execute("alter table public.facilities rename column timezone to tz")
    row = check(patient, "platform")
    assert (row.level, row.detail) == ("error", "missing: column public.facilities.timezone")
    assert "timezones" not in levels(patient)
    patient.execute("alter table public.facilities rename column tz to timezone")


def test_a_missing_extension_is_found(patient: Database) -> None:
    patient.execute("drop extension pg_cron")
    row = check(patient, "pg_cron")
    assert row.level == "error"
    assert "-x cron_url=postgresql://" in row.fix
    patient.execute(row.fix)
    patient.connection = patient.connect()
    assert levels(patient)["job"] == "error"
    patient.execute(check(patient, "job").fix)
    assert set(levels(patient).values()) == {"ok"}


def test_an_extension_whose_jobs_nobody_runs_is_found(server: Database, templates: dict[str, str]) -> None:
    # pg_cron lets only its own database and one of this name have the extension
    name = "contrib_regression"
    server.execute(f"create database {name} template {templates['installed']}")
    database = Database(name)
    database.execute("create extension pg_cron")

    row = check(database, "pg_cron_settings")
    assert (row.level, f"of database {server.name}" in row.detail) == ("error", True)
    assert f"cron.database_name = '{name}'" in row.fix
    database.close()
    server.execute(f"drop database {name} with (force)")


def test_jobs_that_are_not_launched_are_found(patient: Database) -> None:
    if not patient.value("select count(*) from pg_settings where name = 'cron.launch_active_jobs'"):
        pytest.skip("needs pg_cron 1.6")
    patient.execute("alter system set cron.launch_active_jobs = off")
    patient.execute("select pg_reload_conf()")
    wait_until(lambda: levels(patient)["pg_cron_settings"] == "error")

    statement, and_then = check(patient, "pg_cron_settings").fix.split(" -- then: ")
    patient.execute(statement)
    patient.execute(and_then)
    wait_until(lambda: levels(patient)["pg_cron_settings"] == "ok")
    patient.execute("alter system reset cron.launch_active_jobs")


def test_what_a_role_may_not_see_is_reported_and_not_guessed(patient: Database, role: str) -> None:
    patient.execute(f"grant execute on all functions in schema class_activation to {role}")
    patient.execute(f"set role {role}")

    rows = {row.check_name: row for row in patient.rows("select * from class_activation.doctor()")}

    assert {name for name, row in rows.items() if row.level != "ok"} == {
        "rows",
        "pg_cron_preloaded",
        "pg_cron",
    }
    assert all("may not" in rows[name].detail for name in ("rows", "pg_cron_preloaded", "pg_cron"))
    patient.execute("reset role")
    patient.execute(f"grant usage on schema cron to {role}")
    patient.execute(f"set role {role}")
    rows = {row.check_name: row for row in patient.rows("select * from class_activation.doctor()")}
    assert "those of other roles it does not see" in rows["job"].detail
    assert {rows[name].level for name in ("pg_cron_launcher", "pg_cron_settings")} == {"warning"}
    patient.execute("reset role")


def test_with_the_job_in_another_database_doctor_says_where_to_look(
    server: Database, platform: Database
) -> None:
    server.execute("create extension if not exists pg_cron")
    elsewhere = ["cron_url=postgresql:///" + server.name]
    deploy("upgrade", "head", database=platform.name, x=elsewhere)

    assert "in another database" in check(platform, "pg_cron").detail
    assert levels(platform)["pg_cron"] == "ok"

    deploy("downgrade", "base", database=platform.name, x=elsewhere)
