"""From release 0.1.0 and from the last tag, as the history of this repository has them, to this release."""

from pathlib import Path

import pytest
from harness import OFF, RELEASE_0_1_0, Database, alembic, deploy, git, url

LAST_TAG = git("describe", "--tags", "--abbrev=0", "--match=v[0-9]*").decode().strip()
COMMAND_0_1_0 = "select public.activate_scheduled_classes(p_not_before => '06:30')"


@pytest.mark.parametrize("release", sorted({RELEASE_0_1_0, LAST_TAG or RELEASE_0_1_0}), indirect=True)
def test_an_upgrade_gives_the_catalog_of_a_fresh_installation(
    platform: Database, db: Database, release: Path
) -> None:
    deploy("upgrade", "head", database=platform.name, x=OFF, project=release)

    deploy("upgrade", "head", database=platform.name, x=OFF)

    assert platform.catalog() == db.catalog()


def test_what_0_1_0_remembers_and_what_was_granted_is_kept(
    platform: Database, role: str, release: Path
) -> None:
    deploy("upgrade", "head", database=platform.name, x=OFF, project=release)
    facility = platform.facility()
    classes = [platform.class_(facility) for _ in range(3)]
    enrollments = [platform.enrollment(class_id) for class_id in classes]
    broken = platform.class_(platform.facility("Mars/Phobos"))
    for _ in range(2):
        platform.run(max_classes=1)
    held = platform.value(
        "select class_id from class_activation.revert((select max(id) from class_activation.runs))"
    )
    functions = "public.activate_scheduled_classes, class_activation.health, class_activation.revert"
    platform.execute(f"grant execute on function {functions} to {role} with grant option")
    tables = ("runs", "problems")
    before = {table: platform.rows(f"select * from class_activation.{table} order by 1") for table in tables}
    activations = (
        "select run_id, class_id, activated_at, reverted_by from class_activation.activations order by 1"
    )
    activated = platform.rows(activations)

    process = alembic("upgrade", "head", database=platform.name, x=OFF)

    assert process.returncode == 0, process.stderr
    assert "Dropped function class_activation.scheduled_classes" in process.stderr
    assert {
        table: platform.rows(f"select * from class_activation.{table} order by 1") for table in tables
    } == before
    assert platform.rows(activations) == activated
    for function in functions.split(", "):
        assert platform.value(
            "select has_function_privilege(%s, %s::regproc::oid, 'execute with grant option')", role, function
        )
    # a class on hold stays so, the job goes on, and what 0.1.0 activated can be taken back
    assert held == classes[1]
    assert [row.class_id for row in platform.run()] == [classes[2]]
    assert platform.value("select class_id from class_activation.problems") == broken
    assert platform.rows(
        "select class_id, enrollments_reverted, outcome from class_activation.revert(1)"
    ) == [(classes[0], 1, "reverted")]
    assert platform.enrolled_at(enrollments[0]) is None
    assert platform.value(f"select class_activation.release({held})")
    platform.execute(f"drop owned by {role} cascade")


@pytest.mark.parametrize("paused", [False, True])
def test_the_schedule_the_hour_and_a_pause_of_0_1_0_are_kept(
    cron: Database, release: Path, paused: bool
) -> None:
    deploy("upgrade", "head", database=cron.name, project=release)
    cron.execute("select class_activation.schedule('3 * * * *', '06:30')")
    assert cron.value("select command from cron.job") == COMMAND_0_1_0
    if paused:
        cron.execute("select cron.alter_job(jobid, active => false) from cron.job")

    deploy("upgrade", "head", database=cron.name)

    job = "select schedule, command, active from cron.job where jobname = 'activate_scheduled_classes'"
    if paused:
        assert cron.rows("select * from cron.job where active") == []
        cron.execute("select class_activation.schedule()")
    assert cron.row(job) == (
        "3 * * * *",
        "select class_activation.activate_scheduled_classes(p_not_before => '06:30')",
        True,
    )


@pytest.mark.parametrize("comments", ["as they were", "lost"])
def test_a_job_of_0_1_0_in_another_database_goes_on_and_is_taken_over_with_cron_url(
    pg_cron: Database, platform: Database, release: Path, comments: str
) -> None:
    elsewhere = [f"cron_url={url(pg_cron.name)}"]
    deploy("upgrade", "head", database=platform.name, x=["schedule=5 * * * *", *elsewhere], project=release)
    job = "select jobname, schedule, command from cron.job where jobname ~ '^activate_scheduled_classes'"
    before = pg_cron.row(job)
    if comments == "lost":
        platform.execute("comment on schema class_activation is null")

    deploy("upgrade", "head", database=platform.name)
    assert pg_cron.row(job) == before
    platform.execute(before.command)
    assert "cron_url" in alembic("downgrade", "base", database=platform.name).stderr

    deploy("upgrade", "head", database=platform.name, x=elsewhere)
    assert pg_cron.row(job) == (
        f"activate_scheduled_classes@{platform.name}",
        "5 * * * *",
        before.command.replace("public", "class_activation"),
    )
    assert platform.value("select cron_database from class_activation.settings") == pg_cron.name
    deploy("downgrade", "base", database=platform.name, x=elsewhere)
    assert pg_cron.rows("select * from cron.job") == []


def test_an_installation_of_0_1_0_that_is_not_upgraded_yet_is_not_torn_apart(
    platform: Database, release: Path
) -> None:
    deploy("upgrade", "head", database=platform.name, x=OFF, project=release)
    before = platform.catalog()

    process = alembic("downgrade", "base", database=platform.name)

    assert process.returncode != 0
    assert "First run alembic upgrade head" in process.stderr
    assert platform.catalog() == before


def test_back_to_0_1_0_by_way_of_its_index_keeps_what_the_job_remembers(
    platform: Database, release: Path
) -> None:
    deploy("upgrade", "head", database=platform.name, x=OFF)
    platform.class_()
    platform.run()
    remembered = platform.rows("select run_id, class_id from class_activation.activations")

    deploy("downgrade", "0002", database=platform.name)
    deploy("upgrade", "head", database=platform.name, x=OFF, project=release)

    assert platform.rows("select run_id, class_id from class_activation.activations") == remembered
    second = platform.class_()
    assert [row.class_id for row in platform.run()] == [second]
