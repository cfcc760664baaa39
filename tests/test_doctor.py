"""doctor: break one thing at a time, see exactly that check turn, and mend it with the fix as printed."""

from typing import Any

import pytest
from harness import COMMAND, Database, deploy, own_platform, wait_until

JOB = f"'activate_scheduled_classes', '*/15 * * * *', $${COMMAND}$$"

# check, how to break it, and what the detail then says
DEFECTS = [
    (
        "batch_user",
        "update public.users set deleted_at = now() where username = 'system_batch'",
        "system_batch",
    ),
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
    ("ownership", "alter function class_activation.doctor() owner to {role}", "class_activation.doctor()"),
    ("ownership", "alter table class_activation.runs owner to {role}", "class_activation.runs"),
    (
        "grants",
        "grant execute on function public.activate_scheduled_classes to public",
        "every role may execute public.activate_scheduled_classes",
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
        "activate_scheduled_classes is scheduled 2 times",
    ),
    ("job_active", "select cron.alter_job(jobid, active => false) from cron.job", "is not active"),
    ("job_command", "select cron.alter_job(jobid, command => 'select 1') from cron.job", "runs select 1"),
    ("usage", "revoke usage on schema class_activation from public", "may use schema class_activation"),
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
    assert rows[0][:3] == ("version", "ok", "1.0.0")
    assert len(rows) == 26
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
    ("timezone", "name", "remedy"),
    [
        ("Mars/Phobos", "timezones", None),
        ("", "timezones", None),
        (" America/Los_Angeles", "timezones", None),
        ("America/Anchorge", "timezones", None),
        # known to this server or not, a legacy name in the wrong case is none of the IANA database
        ("us/alaska", "timezone", "America/Anchorage"),
        ("UTC+5", "timezone_names", None),
        ("EST5", "timezone_names", None),
        # what PostgreSQL takes for an abbreviation has no summer time
        ("CET", "timezone_names", None),
        ("EST", "timezone_names", None),
        ("PST", "timezone_names", None),
        ("localtime", "timezone_names", None),
        ("Factory", "timezone_names", None),
    ],
)
def test_a_zone_that_is_not_a_place_gets_a_remedy_only_where_that_is_certain(
    patient: Database, timezone: str, name: str, remedy: str | None
) -> None:
    patient.execute("update public.facilities set timezone = %s", timezone)
    row = patient.row("select * from class_activation.doctor() where level <> 'ok'")
    assert row.check_name.startswith(name)
    assert f"'{timezone}' at facility 1" in row.detail
    if remedy:
        patient.execute(row.fix)
        assert patient.value("select timezone from public.facilities") == remedy
        assert set(levels(patient).values()) == {"ok"}
    else:
        assert row.fix.startswith("-- ")


@pytest.mark.parametrize("timezone", ["UTC", "GMT", "America/Chicago", "Etc/GMT+5"])
def test_a_zone_of_which_all_servers_think_the_same_is_well(patient: Database, timezone: str) -> None:
    patient.execute("update public.facilities set timezone = %s", timezone)
    assert set(levels(patient).values()) == {"ok"}


def test_a_role_that_may_not_log_in_cannot_run_the_job(patient: Database, role: str) -> None:
    patient.execute(
        "select cron.unschedule(jobid) from cron.job where jobname = 'activate_scheduled_classes'"
    )
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


def test_the_fix_of_a_job_keeps_the_schedule_and_the_hour_that_were_chosen(patient: Database) -> None:
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


def test_an_extension_whose_jobs_no_launcher_runs_is_found(
    pg_cron: Database, templates: dict[tuple[str, str], str]
) -> None:
    # pg_cron lets only its own database and one of this name have the extension
    name = "contrib_regression"
    pg_cron.execute(f"create database {name} template {templates['classes', 'installed']}")
    database = Database(name)
    database.execute("create extension pg_cron")

    row = check(database, "pg_cron_settings")
    assert (row.level, f"of database {pg_cron.name}" in row.detail) == ("error", True)
    assert f"cron.database_name = '{name}'" in row.fix
    database.close()
    pg_cron.execute(f"drop database {name} with (force)")


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


def test_what_a_role_may_not_see_is_reported_in_one_row_and_not_guessed(patient: Database, role: str) -> None:
    def seen() -> dict[str, str]:
        patient.execute(f"set role {role}")
        rows = patient.rows("select * from class_activation.doctor() where level <> 'ok'")
        patient.execute("reset role")
        assert all(f"not visible to role {role}" in row.detail for row in rows)
        return {row.check_name: row.fix for row in rows}

    patient.execute(f"grant execute on function class_activation.doctor, class_activation.version to {role}")
    hidden = seen()
    assert list(hidden) == ["doctor_installation", "doctor_platform", "doctor_pg_cron"]
    for fix in hidden.values():
        patient.execute(fix)
    assert list(seen()) == ["pg_cron"]


def test_the_owner_sees_its_own_jobs_but_not_the_server(cron: Database, role: str) -> None:
    own_platform(cron, role)
    cron.execute(f"grant usage on schema cron to {role}")
    deploy("upgrade", "head", database=cron.name)
    cron.run()
    cron.execute(f"set role {role}")

    rows = {row.check_name: row for row in cron.rows("select * from class_activation.doctor()")}

    cron.execute("reset role")
    assert [name for name, row in rows.items() if row.level != "ok"] == ["pg_cron_server"]
    assert rows["pg_cron_server"].detail == f"not visible to role {role}"
    assert f"of role {role}" in rows["job"].detail


def test_every_other_grantee_of_what_writes_is_listed(patient: Database, role: str) -> None:
    patient.execute(f"grant execute on function class_activation.revert to {role}")
    row = check(patient, "grants")
    assert (row.level, row.detail) == (
        "ok",
        f"only the owner may execute what writes, and {role}: class_activation.revert(bigint,integer[])",
    )


def test_many_problems_are_counted_and_the_first_are_shown(patient: Database) -> None:
    patient.execute(
        "insert into class_activation.problems"
        " (class_id, facility_id, first_seen_at, last_seen_at, attempts, sqlstate, message)"
        " select i, 1, now(), now(), 1, '23514', repeat('x', 1000) from generate_series(1, 6000) i"
    )
    detail = check(patient, "problems").detail
    assert detail.startswith("6000, the first: class 1: 23514 xxx")
    assert len(detail) < 2000


def test_with_the_job_in_another_database_doctor_says_where_to_look(
    pg_cron: Database, platform: Database
) -> None:
    elsewhere = ["cron_url=postgresql:///" + pg_cron.name]
    deploy("upgrade", "head", database=platform.name, x=elsewhere)

    assert "in another database" in check(platform, "pg_cron").detail
    assert levels(platform)["pg_cron"] == "ok"

    deploy("downgrade", "base", database=platform.name, x=elsewhere)


def test_a_publication_of_all_tables_is_named(patient: Database) -> None:
    assert check(patient, "replication").detail == "no publication is for all tables"
    patient.execute("create publication everything for all tables")
    row = check(patient, "replication")
    patient.execute("drop publication everything")
    assert (row.level, row.detail.endswith("publication everything")) == ("ok", True)
