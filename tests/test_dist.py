"""The scripts that make dist writes: installed, repaired and removed by psql alone."""

import subprocess

import pytest
from harness import ROOT, Database, psql
from test_migrations import DRIFT, heal

VERSIONS = "select xmin::text, oid from pg_proc union all select xmin::text, oid from pg_class"


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The scripts that install and uninstall."""
    directory = tmp_path_factory.mktemp("dist")
    make = ["make", "--old-file=.venv/ready", "dist", f"DIST={directory}"]
    subprocess.run(make, cwd=ROOT, check=True, capture_output=True)
    install, uninstall = sorted(directory.glob("*"), key=lambda path: len(path.name))
    assert install.name == "class-activation-1.0.0.sql"
    assert uninstall.name == "class-activation-1.0.0-uninstall.sql"
    return install.read_text(), uninstall.read_text()


@pytest.mark.parametrize("before", ["", "\\set AUTOCOMMIT off\n"], ids=["autocommit", "no autocommit"])
def test_each_script_does_its_work_once(
    platform: Database, db: Database, scripts: tuple[str, str], before: str
) -> None:
    bare = platform.catalog()
    install, uninstall = (before + script for script in scripts)

    assert "installed class activation 1.0.0" in psql(platform, install)
    assert platform.catalog() == db.catalog()
    platform.class_()
    assert len(platform.run()) == 1
    versions = platform.rows(VERSIONS)
    assert psql(platform, install) == "class activation: nothing to do\n"
    assert platform.rows(VERSIONS) == versions

    assert psql(platform, uninstall) == "class activation: removed class activation\n"
    assert platform.catalog() == bare
    assert psql(platform, uninstall) == "class activation: nothing to do\n"
    assert platform.catalog() == bare


@pytest.mark.parametrize("drift", DRIFT)
def test_it_repairs_a_change_by_hand(db: Database, role: str, scripts: tuple[str, str], drift: str) -> None:
    heal(db, role, drift, lambda: psql(db, scripts[0]))


@pytest.mark.parametrize("revision", ["9.9.9", "0001", "0.2.0"])
def test_another_revision_is_refused(db: Database, scripts: tuple[str, str], revision: str) -> None:
    db.execute("update class_activation.alembic_version set version_num = %s", revision)
    before = db.catalog()
    for script in scripts:
        with pytest.raises(AssertionError, match=f"class activation {revision} is installed"):
            psql(db, script)
    assert db.catalog() == before
