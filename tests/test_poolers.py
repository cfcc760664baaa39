"""PgBouncer, in each of its modes: a deployment is refused before it leaves anything in a pooled session."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from harness import OFF, Database, alembic, own_platform, wait_until

pytestmark = pytest.mark.skipif(
    not shutil.which("pgbouncer"), reason="Debian's package of PgBouncer is not there"
)


@pytest.fixture(params=["session", "transaction", "statement"])
def pooler(request: pytest.FixtureRequest, platform: Database, role: str, tmp_path: Path) -> Iterator[str]:
    """The port of a PgBouncer with one session, of ROLE, in the database."""
    own_platform(platform, role)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
    # an address, because PgBouncer may resolve localhost to ::1 and tries no other
    info = platform.connection.info
    (tmp_path / "users.txt").write_text(f'"{role}" "secret"\n')
    (tmp_path / "pgbouncer.ini").write_text(
        f"""
        [databases]
        * = host={info.hostaddr or info.host} port={platform.port}
        [pgbouncer]
        listen_addr = 127.0.0.1
        listen_port = {port}
        unix_socket_dir =
        auth_type = trust
        auth_file = {tmp_path}/users.txt
        pool_mode = {request.param}
        default_pool_size = 1
        """
    )
    # it does not run as root
    command = ["pgbouncer", f"{tmp_path}/pgbouncer.ini"]
    if os.geteuid() == 0:
        subprocess.run(["chmod", "-R", "a+rX", tmp_path.parent.parent], check=True)
        command[1:1] = ["-u", "nobody"]
    libraries = ":".join(map(str, (Path(shutil.which("pgbouncer")).parents[1] / "lib").glob("*-linux-gnu")))
    with subprocess.Popen(
        command,
        env={**os.environ, "LD_LIBRARY_PATH": libraries},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            wait_until(lambda: process.poll() is not None or accepts(port))
            assert process.poll() is None, "PgBouncer has ended"
            yield port
        finally:
            process.terminate()


def accepts(port: str) -> bool:
    """Whether anything listens at PORT."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", int(port))) == 0


@pytest.mark.parametrize("command", [("current",), ("upgrade", "head"), ("downgrade", "base")])
def test_through_a_pooler_nothing_is_done_and_the_server_is_named(
    platform: Database, role: str, pooler: str, command: tuple[str, ...]
) -> None:
    pooled = f"postgresql://{role}:secret@127.0.0.1:{pooler}/{platform.name}"
    before = platform.catalog()

    process = alembic(*command, database=platform.name, x=[f"url={pooled}", *OFF])

    assert process.returncode != 0
    assert "through a pooler" in process.stderr
    port = platform.value("select coalesce(inet_server_port()::text, current_setting('port'))")
    assert f"port={port}" in process.stderr
    assert platform.catalog() == before
    assert (
        platform.rows(
            "select * from pg_locks l join pg_database d on d.oid = l.database"
            " where l.locktype = 'advisory' and d.datname = current_database()"
        )
        == []
    )
    # the application's next session there is as a new one
    with psycopg.connect(pooled, autocommit=True) as application:
        for setting in ("search_path", "lock_timeout", "statement_timeout"):
            new = platform.value(f"select reset_val from pg_settings where name = '{setting}'")
            assert application.execute(f"select current_setting('{setting}')").fetchone() in (
                (new,),
                (f"{new}ms",),
            )


def test_the_pooler_of_pg_crons_database_is_refused_too(platform: Database, pooler: str, role: str) -> None:
    pooled = f"postgresql://{role}:secret@127.0.0.1:{pooler}/{platform.name}"
    before = platform.catalog()

    process = alembic("upgrade", "head", database=platform.name, x=[f"cron_url={pooled}"])

    assert process.returncode != 0
    assert "through a pooler" in process.stderr
    assert platform.catalog() == before
