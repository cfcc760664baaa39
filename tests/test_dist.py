"""The scripts that make dist writes: installed, upgraded and removed by psql alone."""

import subprocess
from pathlib import Path

import pytest
from harness import COMMAND, OFF, ROOT, Database, deploy, psql

VERSIONS = "select xmin::text, oid from pg_proc union all select xmin::text, oid from pg_class"


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """What installs, and what removes."""
    directory = tmp_path_factory.mktemp("dist")
    subprocess.run(["make", "dist", f"DIST={directory}"], cwd=ROOT, check=True, capture_output=True)
    install, uninstall = sorted(directory.glob("*"), key=lambda path: len(path.name))
    assert (install.name, uninstall.name) == (
        "class-activation-0.2.0.sql",
        "class-activation-0.2.0-uninstall.sql",
    )
    return install.read_text(), uninstall.read_text()


def test_it_installs_and_removes_and_a_second_time_changes_nothing(
    platform: Database, db: Database, scripts: tuple[str, str]
) -> None:
    bare = platform.catalog()
    install, uninstall = scripts

    assert "is at revision 0.2.0\n" in psql(platform, install)
    assert platform.catalog() == db.catalog()
    platform.class_()
    assert len(platform.run()) == 1
    before = platform.rows(VERSIONS)
    assert "is at revision 0.2.0, and nothing was changed" in psql(platform, install)
    assert platform.rows(VERSIONS) == before

    assert "is at revision base\n" in psql(platform, uninstall)
    assert platform.catalog() == bare
    assert "is at revision base, and nothing was changed" in psql(platform, uninstall)
    assert platform.catalog() == bare


def test_it_goes_on_where_a_first_attempt_has_stopped(
    platform: Database, db: Database, scripts: tuple[str, str]
) -> None:
    deploy("upgrade", "0002", database=platform.name, x=OFF)
    psql(platform, scripts[0])
    assert platform.catalog() == db.catalog()

    deploy("downgrade", "0003", database=platform.name, x=OFF)
    psql(platform, scripts[1])
    assert not [key for key in platform.catalog() if "class_activation" in key[1]]


def test_it_upgrades_what_the_script_of_0_1_0_has_installed(
    platform: Database, db: Database, release: Path, scripts: tuple[str, str]
) -> None:
    psql(platform, deploy("upgrade", "head", "--sql", database="nowhere", x=OFF, project=release))
    platform.class_()
    platform.execute("select public.activate_scheduled_classes()")
    activations = "select run_id, class_id, activated_at from class_activation.activations"
    before = platform.rows(activations)

    psql(platform, scripts[0])

    assert platform.catalog() == db.catalog()
    assert platform.rows(activations) == before != []
    assert "nothing was changed" in psql(platform, scripts[0])


def test_a_job_of_0_1_0_goes_on_until_it_is_scheduled_anew(
    cron: Database, release: Path, scripts: tuple[str, str]
) -> None:
    deploy("upgrade", "head", database=cron.name, x=["schedule=5 * * * *"], project=release)
    job = "select schedule, command, active from cron.job where jobname = 'activate_scheduled_classes'"
    before = cron.row(job)

    psql(cron, scripts[0])
    assert cron.row(job) == before
    cron.execute(before.command)
    assert cron.value("select active from class_activation.settings")

    cron.execute("select class_activation.schedule()")
    assert cron.row(job) == ("5 * * * *", COMMAND, True)
    psql(cron, scripts[1])
    assert cron.rows("select * from cron.job") == []


def test_a_newer_release_is_left_alone(db: Database, scripts: tuple[str, str]) -> None:
    db.execute("update class_activation.alembic_version set version_num = '9.9.9'")
    before = db.catalog()
    for script in scripts:
        assert "is at revision 9.9.9, and nothing was changed" in psql(db, script)
    assert db.catalog() == before
