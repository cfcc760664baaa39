"""doctor: each defect turns exactly its check, and the fix as printed cures it."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator

import pytest
from harness import COMMAND, ROOT, Database, deploy, own_platform

JOB = f"'activate_scheduled_classes', '*/15 * * * *', $${COMMAND}$$"

# check, defect, and part of the detail
DEFECTS = [
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
    (
        "job",
        f"select cron.schedule_in_database({JOB}, current_database(), '{{role}}')",
        "activate_scheduled_classes is scheduled 2 times",
    ),
    (
        "job",
        "update class_activation.settings set job_username = null",
        "is not in class_activation.settings",
    ),
    ("usage", "revoke usage on schema class_activation from public", "may use schema class_activation"),
]


@pytest.fixture
def patient(cron: Database) -> Database:
    """A database in which all is well."""
    deploy("upgrade", "head", database=cron.name)
    cron.program()
    cron.facility()
    cron.execute(COMMAND)
    assert cron.findings() == {}
    return cron


def test_if_all_is_well_each_check_is_ok_and_has_no_fix(patient: Database) -> None:
    with patient.connection.transaction():
        time_zone = patient.value("show timezone")
        rows = patient.call("doctor")
        assert patient.value("show timezone") == time_zone
    assert patient.value("show timezone") == time_zone
    assert rows[0][:3] == ("version", "ok", "1.0.0")
    assert all(row.detail and row.fix is None for row in rows)
    table = (ROOT / "docs/runbook.md").read_text().partition("| doctor's check")[2].partition("\n\n")[0]
    assert sorted(row.check_name for row in rows) == sorted(re.findall(r"`((?!doctor_)\w+)`", table))


@pytest.mark.parametrize(("name", "defect", "detail"), DEFECTS, ids=lambda value: value[:40])
def test_a_defect_is_found_and_cured(
    patient: Database, role: str, name: str, defect: str, detail: str
) -> None:
    patient.execute(defect.format(role=role))

    ((found, row),) = patient.findings().items()
    assert found == name
    assert detail in row.detail

    patient.execute(row.fix)
    assert patient.findings() == {}


# check, and zones that it finds
ZONES = {
    "timezones": ["Mars/Phobos", "", " America/Los_Angeles", "America/Anchorge"],
    # an abbreviation has no summer time
    "timezone_names": ["UTC+5", "EST5", "CET", "EST", "PST", "localtime", "Factory"],
    None: ["UTC", "GMT", "America/Chicago", "Etc/GMT+5"],
}


def test_a_zone_that_is_not_an_iana_location_is_found(patient: Database) -> None:
    for check, timezone in [(check, timezone) for check, zones in ZONES.items() for timezone in zones]:
        patient.execute("update public.facilities set timezone = %s", timezone)
        findings = patient.findings()
        assert [*findings] == ([check] if check else []), timezone
        for row in findings.values():
            assert f"'{timezone}' at facility 1 (Facility in America/Chicago)" in row.detail
            assert row.fix.startswith("-- "), timezone

    # in the wrong case, even where the server has the package tzdata-legacy
    patient.execute("update public.facilities set timezone = 'us/alaska'")
    ((check, row),) = patient.findings().items()
    assert check.startswith("timezone")
    patient.execute(row.fix)
    assert patient.value("select timezone from public.facilities") == "America/Anchorage"
    assert patient.findings() == {}


def test_a_role_that_may_not_log_in_cannot_run_the_job(cron: Database, role: str) -> None:
    own_platform(cron, role)
    deploy("upgrade", "head", database=cron.name)
    cron.execute(f"alter role {role} nologin")

    row = cron.findings()["job_role"]
    assert f"role {role}, as which the job runs" in row.detail
    cron.execute(row.fix)
    assert "job_role" not in cron.findings()


def test_a_failed_or_stuck_run_is_found_until_the_next_tick(patient: Database) -> None:
    insert = (
        "insert into cron.job_run_details (jobid, runid, database, status, return_message, start_time)"
        " select jobid, nextval('cron.runid_seq'), database, %s, %s, now() - interval '1 hour' from cron.job"
    )
    for status, said in (("failed", "ERROR:  no\nDETAIL:  more"), ("connecting", "")):
        patient.execute(insert, status, said)
        # an older run than the last tick: pg_cron may no longer log its runs
        assert patient.findings() == {}
        patient.execute("update class_activation.ticks set ticked_at = now() - interval '2 hours'")
        row = patient.findings()["job_runs"]
        assert (row.level, status in row.detail, said.split("\n")[0] in row.detail) == ("error", True, True)
        assert "DETAIL" not in row.detail
        patient.execute(COMMAND)


def test_running_jobs_that_keep_the_tick_waiting_are_counted(patient: Database) -> None:
    jobs = int(patient.value("show cron.max_running_jobs"))
    for _ in range(jobs):
        patient.connect(application_name="pg_cron")
    assert patient.findings() == {}
    patient.execute("update class_activation.ticks set ticked_at = now() - interval '1 hour'")
    row = patient.findings()["pg_cron_capacity"]
    assert row.detail.startswith(f"{jobs} of cron.max_running_jobs = {jobs} run")
    assert row.fix.startswith(f"alter system set cron.max_running_jobs = {2 * jobs};")


# schedule, and the minutes of its longest gap
GAPS = {
    "*/15 * * * *": 15,
    "2,17,32,47 * * * *": 15,
    "0-20/10,50 * * * *": 30,
    "0 5 * * *": 25 * 60,
    "0 11 * * 1": 8 * 24 * 60,
    "0 0 1 * *": 366 * 24 * 60,
    "30 seconds": 0.5,
}


def test_a_tick_is_missing_after_the_longest_gap_of_the_schedule(patient: Database) -> None:
    for schedule, minutes in GAPS.items():
        patient.execute("update class_activation.settings set schedule = %s", schedule)
        # a minute is allowed
        for seconds in (30, 90):
            patient.execute(
                "update class_activation.settings set scheduled_at = now() - make_interval(secs => %s)",
                60 * minutes + seconds,
            )
            patient.execute(
                "update class_activation.ticks t set ticked_at = s.scheduled_at"
                " from class_activation.settings s"
            )
            assert ("ticks" in patient.findings()) == (seconds > 60), schedule
    assert patient.findings()["ticks"].level == "error"
    patient.execute("delete from class_activation.ticks")
    for ago, level in (("2 days", "error"), ("0 s", "warning")):
        patient.execute("update class_activation.settings set scheduled_at = now() - %s::interval", ago)
        row = patient.findings()["ticks"]
        assert (row.level, row.detail) == (level, "pg_cron has not called the job yet")


@pytest.fixture
def restart(pg_cron: Database) -> Iterator[Callable[[], None]]:
    """A function that restarts the server, for settings that need it; they are reset after the test."""
    if "PG_RESTART" not in os.environ:
        pytest.skip("restarts the server, so not one that DATABASE_URL or PGHOST names")

    def restart() -> None:
        subprocess.run(os.environ["PG_RESTART"], shell=True, check=True)
        pg_cron.reconnect()

    yield restart
    pg_cron.execute("alter system reset all")
    restart()


# setting, a value that stops or shifts the job, and the check that finds it
SETTINGS = [
    ("cron.use_background_workers", "off", "pg_cron_workers"),
    ("cron.launch_active_jobs", "off", "pg_cron_settings"),
    ("cron.timezone", "'America/Chicago'", "pg_cron_timezone"),
    ("shared_preload_libraries", "auto_explain", "pg_cron_preloaded"),
]


def test_unsuitable_settings_of_pg_cron_are_found(patient: Database, restart: Callable[[], None]) -> None:
    patient.execute(
        "truncate class_activation.ticks;"
        "update class_activation.settings set schedule = '0 5 * * *', scheduled_at = now() - interval '3 d'"
    )
    for setting, value, check in SETTINGS:
        if patient.value("select count(*) from pg_settings where name = %s", setting):
            patient.execute(f"alter system set {setting} = {value}")
            restart()
            patient.execute(patient.findings()[check].fix.partition(";")[0])
        else:  # pg_cron is too old for it, and the name is free
            assert check not in patient.findings()
            patient.execute(f"set {setting} = {value}")
            row = patient.findings()[check]
            assert setting in row.detail
            assert "schedule(" in row.fix or f"alter system set {setting} = on;" in row.fix
            patient.reconnect()
    restart()
    assert not {check for _, _, check in SETTINGS} & patient.findings().keys()


def test_a_clock_behind_the_last_tick_and_classes_that_a_timeout_left_are_found(patient: Database) -> None:
    patient.run()
    patient.execute("update class_activation.runs set classes_left = 1")
    patient.execute("update class_activation.ticks set ticked_at = now() + interval '3 hours'")
    findings = patient.findings()
    assert findings["clock"].level == "error"
    assert "left 1 class to the next one" in findings["timeouts"].detail


def test_on_an_unknown_schema_other_checks_of_the_platform_are_left_out(patient: Database) -> None:
    patient.execute("alter table public.facilities rename column timezone to tz")
    row = patient.findings()["platform"]
    assert (row.level, row.detail) == ("error", "missing: column public.facilities.timezone")
    assert "timezones" not in {row.check_name for row in patient.call("doctor")}


def test_an_old_and_a_missing_extension_are_found(patient: Database) -> None:
    patient.execute("update pg_extension set extversion = '1.3' where extname = 'pg_cron'")
    assert patient.findings()["pg_cron"].detail == "pg_cron is 1.3, and 1.4 is needed"
    patient.execute("drop extension pg_cron")
    row = patient.findings()["pg_cron"]
    assert row.level == "error"
    assert "-x cron_url=postgresql://" in row.fix
    patient.execute(row.fix)
    patient.reconnect()
    row = patient.findings()["job"]
    assert row.level == "error"
    patient.execute(row.fix)
    assert patient.findings() == {}


def test_an_extension_without_launcher(pg_cron: Database, new_database: Callable[..., Database]) -> None:
    # besides its own database, pg_cron accepts only one of this name
    database = new_database(name="contrib_regression")
    deploy("upgrade", "head", database=database.name, x=["schedule=off"])
    database.execute("create extension pg_cron")

    assert database.findings()["ticks"].detail == "no pg_cron job is scheduled for this database"
    row = database.findings()["pg_cron_settings"]
    assert (row.level, f"of database {pg_cron.name}" in row.detail) == ("error", True)
    assert "cron.database_name = 'contrib_regression'" in row.fix


def test_a_part_that_a_role_may_not_execute_is_one_row_with_the_grant(patient: Database, role: str) -> None:
    def seen() -> dict[str, str]:
        patient.execute(f"set role {role}")
        findings = patient.findings()
        patient.execute("reset role")
        assert all(f"not visible to role {role}" in row.detail for row in findings.values())
        return {check: row.fix for check, row in findings.items()}

    patient.execute(f"grant execute on function class_activation.doctor, class_activation.version to {role}")
    hidden = seen()
    assert [*hidden] == ["doctor_installation", "doctor_platform", "doctor_pg_cron"]
    for fix in hidden.values():
        patient.execute(fix)
    assert seen() == {}


def test_other_roles_that_may_execute_a_function_that_writes_are_listed(patient: Database, role: str) -> None:
    patient.execute(f"grant execute on function class_activation.revert to {role}")
    (row,) = [row for row in patient.call("doctor") if row.check_name == "grants"]
    listed = f"only the owner may execute what writes, and {role}: class_activation.revert(bigint,integer[])"
    assert (row.level, row.detail) == ("ok", listed)


def test_many_problems_are_counted_and_the_first_are_shown(patient: Database) -> None:
    patient.execute(
        "insert into class_activation.problems"
        " (class_id, facility_id, first_seen_at, last_seen_at, attempts, sqlstate, message)"
        " select i, i, now(), now(), 1, '23514', repeat('x', 1000) from generate_series(1, 6000) i"
    )
    detail = patient.findings()["problems"].detail
    first = "class 1 at Facility in America/Chicago: 23514 xxx"
    assert detail.startswith(f"6000 classes failed, the first: {first}")
    assert detail.count("at ") == 3
    assert len(detail) < 2000
