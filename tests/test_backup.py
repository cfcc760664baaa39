"""pg_dump and restore, into the same major version and into a newer one."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from container import container, needs_docker
from harness import OFF, ROOT, Database, deploy, psql, refused, wait_until
from mornings import five_am

OLDER = """
set -e
psql="psql --no-psqlrc --quiet --output=/dev/null"
$psql --file=tests/platform.sql --file=tests/sample.sql
.venv/bin/alembic upgrade head
$psql --command="select activate_scheduled_classes()"
/usr/bin/pg_dump
"""


def test_a_dump_is_complete(db: Database, empty: Database, role: str, pg_dump: Callable[..., str]) -> None:
    db.execute(f"grant execute on function public.activate_scheduled_classes to {role}")
    activated, waiting = db.class_(), db.class_()
    db.enrollment(activated)
    db.run(max_classes=1)
    history = (
        "select (r, a)::text from class_activation.runs r"
        " join class_activation.activations a on a.run_id = r.id"
    )

    psql(empty, pg_dump(db))

    assert empty.catalog() == db.catalog()
    assert empty.rows(history) == db.rows(history)
    late = empty.enrollment(activated)
    assert [row.class_id for row in empty.run()] == [waiting]
    assert empty.enrolled_at(late) is not None
    assert empty.last_run().id == db.last_run().id + 1
    deploy("downgrade", "base", database=empty.name)


@pytest.mark.parametrize("option", ["--no-comments", "--no-acl", "--no-owner"])
def test_an_upgrade_restores_the_parts_that_a_dump_left_out(
    db: Database, empty: Database, pg_dump: Callable[..., str], option: str
) -> None:
    psql(empty, pg_dump(db, option))

    deploy("upgrade", "head", database=empty.name, x=OFF)

    restored, installed = empty.catalog(), db.catalog()
    objects = {key for key in installed if "class_activation" in key[1]}
    if option == "--no-comments":
        objects = {key for key in objects if key[0] != "schema"}  # whose comments are the DBA's
    assert {key: restored.get(key) for key in objects} == {key: installed[key] for key in objects}
    deploy("downgrade", "base", database=empty.name)


def test_a_copy_of_public_is_installed(db: Database, empty: Database, pg_dump: Callable[..., str]) -> None:
    empty.execute("drop schema public")
    psql(empty, pg_dump(db, "--schema=public"))

    (statement,) = re.findall("class_activation: (drop .*?;)", refused(empty))
    empty.execute(statement)
    deploy("upgrade", "head", database=empty.name, x=OFF)
    schema = ("schema", "public")
    assert {**empty.catalog(), schema: None} == {**db.catalog(), schema: None}


@needs_docker
@pytest.mark.skipif(not shutil.which("pg_virtualenv"), reason="needs the older server of Debian's packages")
def test_a_dump_can_be_restored_into_a_newer_major_version(server: Database, db: Database) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    older = ["tools/with-postgres", "bash", "-c", OLDER]
    dump = subprocess.check_output(older, cwd=ROOT, env={**env, "SERVER": "local"}, text=True)
    assert f"Dumped from database version {server.connection.info.server_version // 10000}." not in dump
    now = datetime.now(UTC)
    with container(now) as newer:
        restored = newer.database()

        psql(restored, dump)

        catalog = restored.catalog()
        assert catalog.pop(("extension", "pg_cron"))
        assert catalog == db.catalog()
        before = restored.last_run()
        assert before.classes_activated > 0
        tomorrow = five_am(now.date() + timedelta(days=1), "America/Denver")
        newer.set_clock(tomorrow - timedelta(seconds=1))
        wait_until(lambda: restored.last_run().started_at >= tomorrow)
        assert restored.last_run().classes_activated > 0
        assert restored.value("select count(*) from class_activation.doctor() where level = 'error'") == 0
