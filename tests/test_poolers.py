"""PgBouncer in each of its modes: a deployment works through it and leaves nothing in a pooled session."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from harness import OFF, Database, deploy, free_port, own_platform, refused, running, wait_until

pytestmark = pytest.mark.skipif(
    not shutil.which("pgbouncer"), reason="Debian's package of PgBouncer is not there"
)


@pytest.fixture(params=["session", "transaction", "statement"])
def mode(request: pytest.FixtureRequest) -> str:
    """When PgBouncer gives the session to the next client."""
    return request.param


@pytest.fixture
def pooler(mode: str, platform: Database, role: str, tmp_path: Path) -> Iterator[str]:
    """The port of a PgBouncer with one session, of ROLE, in the database."""
    own_platform(platform, role)
    port = str(free_port())
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
        pool_mode = {mode}
        default_pool_size = 1
        """
    )
    # it does not run as root
    command = ["pgbouncer", f"{tmp_path}/pgbouncer.ini"]
    if os.geteuid() == 0:
        subprocess.run(["chmod", "-R", "a+rX", tmp_path.parent.parent], check=True)
        command[1:1] = ["-u", "nobody"]
    libraries = ":".join(map(str, (Path(shutil.which("pgbouncer")).parents[1] / "lib").glob("*-linux-gnu")))
    with running(*command, LD_LIBRARY_PATH=libraries) as process:
        wait_until(lambda: process.poll() is not None or accepts(port))
        assert process.poll() is None, "PgBouncer has ended"
        yield port


def accepts(port: str) -> bool:
    """Return whether a server listens at PORT."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", int(port))) == 0


def settings(pooled: str) -> list[tuple]:
    """Return the process and the settings of a session of the application."""
    with psycopg.connect(pooled, autocommit=True, prepare_threshold=None) as application:
        # PL/pgSQL adds its settings on first use
        query = "select pg_backend_pid()::text, '' union select name, setting from pg_settings"
        return sorted(application.execute(f"{query} where name !~ '^plpgsql[.]'").fetchall())


def test_a_deployment_leaves_no_trace_in_a_pool(
    platform: Database, role: str, pooler: str, mode: str
) -> None:
    pooled = f"postgresql://{role}:secret@127.0.0.1:{pooler}/{platform.name}"
    options = [f"url={pooled}", *OFF]
    bare = platform.catalog()
    if mode == "statement":
        # which has no transactions
        assert "transaction blocks not allowed" in refused(platform, x=options)
        return
    before = settings(pooled)

    deploy("upgrade", "head", database="nowhere", x=options)
    installed = platform.catalog()
    deploy("upgrade", "head", database="nowhere", x=options)
    assert platform.catalog() == installed
    assert deploy("current", database="nowhere", x=options).startswith("1.0.0")
    assert settings(pooled) == before
    class_id = platform.class_()
    assert [row.class_id for row in platform.run()] == [class_id]

    deploy("downgrade", "base", database="nowhere", x=options)
    assert platform.catalog() == bare
    assert settings(pooled) == before
    here = "(select oid from pg_database where datname = current_database())"
    assert not platform.rows(f"select from pg_locks where locktype = 'advisory' and database = {here}")
