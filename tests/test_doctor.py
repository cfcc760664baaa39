"""doctor: break one thing at a time, see exactly that check turn, and cure it with the fix as printed."""

from typing import Any

import pytest
from harness import COMMAND, Database, deploy, own_platform, wait_until

JOB = f"'activate_scheduled_classes', '*/15 * * * *', $${COMMAND}$$"

# check, how to break it, and what the detail then says
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
    cron.execute(COMMAND)
    assert set(levels(cron).values()) == {"ok"}, cron.rows("select * from class_activation.doctor()")
    return cron


def test_where_all_is_well_nothing_is_to_be_fixed(patient: Database) -> None:
    rows = patient.rows("select * from class_activation.doctor()")
    assert rows[0][:3] == ("version", "ok", "1.0.0")
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
    assert f"'{timezone}' at facility 1 (Facility in America/Chicago)" in row.detail
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


def test_a_role_that_may_not_log_in_cannot_run_the_job(cron: Database, role: str) -> None:
    own_platform(cron, role)
    deploy("upgrade", "head", database=cron.name)
    assert levels(cron)["job_role"] == "ok"
    cron.execute(f"alter role {role} nologin")

    assert f"role {role}, as which the job runs" in check(cron, "job_role").detail
    cron.execute(check(cron, "job_role").fix)
    assert levels(cron)["job_role"] == "ok"


def test_a_failed_or_stuck_run_is_found_until_the_next_tick(patient: Database) -> None:
    insert = (
        "insert into cron.job_run_details (jobid, runid, database, status, return_message, start_time)"
        " select jobid, nextval('cron.runid_seq'), database, %s, %s, now() - interval '1 hour' from cron.job"
    )
    for status, said in (("failed", "ERROR:  no\nDETAIL:  more"), ("connecting", "")):
        patient.execute(insert, status, said)
        # the tick came later, and pg_cron may no longer log its runs
        assert levels(patient)["job_runs"] == "ok"
        patient.execute("update class_activation.ticks set ticked_at = now() - interval '2 hours'")
        row = check(patient, "job_runs")
        assert (row.level, status in row.detail, said.split("\n")[0] in row.detail) == ("error", True, True)
        assert "DETAIL" not in row.detail
        patient.execute(COMMAND)


def test_a_running_job_that_blocks_the_tick_is_counted(patient: Database) -> None:
    sessions = [
        patient.connect(application_name="pg_cron")
        for _ in range(int(patient.value("show cron.max_running_jobs")))
    ]
    assert levels(patient)["pg_cron_capacity"] == "ok"
    patient.execute("update class_activation.ticks set ticked_at = now() - interval '1 hour'")
    row = check(patient, "pg_cron_capacity")
    assert row.detail.startswith(f"{len(sessions)} of cron.max_running_jobs = {len(sessions)} run")
    assert row.fix.startswith(f"alter system set cron.max_running_jobs = {2 * len(sessions)};")


@pytest.mark.parametrize(
    ("schedule", "minutes"),
    [
        ("*/15 * * * *", 15),
        ("2,17,32,47 * * * *", 15),
        ("* * * * *", 1),
        ("7 * * * *", 60),
        ("0-20/10,50 * * * *", 30),
        ("0 5 * * *", 25 * 60),
        ("0 11 * * 1", 8 * 24 * 60),
        ("0 0 1 * *", 366 * 24 * 60),
        ("30 seconds", 0.5),
    ],
)
def test_a_tick_is_missing_after_the_longest_gap_of_the_schedule(
    patient: Database, schedule: str, minutes: float
) -> None:
    patient.execute("update class_activation.settings set schedule = %s", schedule)
    for seconds, level in ((30, "ok"), (90, "error")):
        patient.execute(
            "update class_activation.settings set scheduled_at = now() - make_interval(secs => %s);"
            % (60 * minutes + seconds)
        )
        patient.execute(
            "update class_activation.ticks t set ticked_at = s.scheduled_at from class_activation.settings s"
        )
        assert levels(patient)["ticks"] == level
    patient.execute("delete from class_activation.ticks")
    assert "has not called the job yet" in check(patient, "ticks").detail


def test_a_run_that_a_timeout_cut_short_says_how_many_are_left(patient: Database) -> None:
    patient.run()
    patient.execute("update class_activation.runs set classes_left = 1")
    assert "left 1 class to the next one" in check(patient, "timeouts").detail


def test_a_clock_behind_the_last_tick_is_found(patient: Database) -> None:
    patient.execute("update class_activation.ticks set ticked_at = now() + interval '3 hours'")
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

    statement, and_then = check(patient, "pg_cron_settings").fix.split(" -- then ")
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
    assert seen() == {}


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
    assert detail.startswith(
        "6000 classes failed, the first: class 1 at Facility in America/Chicago: 23514 xxx"
    )
    assert len(detail) < 2000
