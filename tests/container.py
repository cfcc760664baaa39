"""A dedicated PostgreSQL server in Docker, whose clock the caller can set and which it can stop or kill."""

import os
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from harness import Database, wait_until

needs_docker = pytest.mark.skipif("IMAGE" not in os.environ, reason="needs a server in Docker: SERVER=docker")

FAKETIME = {
    "LD_PRELOAD": "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "FAKETIME_TIMESTAMP_FILE": "/clock/offset",
    "FAKETIME_NO_CACHE": "1",
    # timeouts must not see the clock jump
    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
}


class Container:
    """A server in the image that tools/with-postgres has built; it shares all PG* variables but PGPORT."""

    def __init__(self, clock: datetime | None = None) -> None:
        """Start it, on the real clock or at the instant CLOCK."""
        self.name = f"class_activation_{uuid.uuid4().hex[:8]}"
        self._databases: list[Database] = []
        self._clock = tempfile.TemporaryDirectory()
        Path(self._clock.name).chmod(0o755)
        options = ["--env=PGPASSWORD", "--publish=127.0.0.1::5432", f"--volume={self._clock.name}:/clock:ro"]
        if clock:
            self.set_clock(clock)
            options += [f"--env={name}={value}" for name, value in FAKETIME.items()]
        self._client = subprocess.Popen(
            ["docker", "run", "--rm", "--interactive", f"--name={self.name}", *options, os.environ["IMAGE"]],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: self._client.poll() is not None or self._is_healthy(), timeout=300)
        port = subprocess.check_output(["docker", "port", self.name, "5432"], text=True).rpartition(":")[2]
        self.env = {"PGPORT": port.strip()}

    def _is_healthy(self) -> bool:
        inspect = ["docker", "inspect", "--format={{.State.Health.Status}}", self.name]
        return subprocess.run(inspect, capture_output=True, check=False).stdout.strip() == b"healthy"

    def close(self) -> None:
        for database in self._databases:
            database.close()
        self._client.stdin.close()
        self._client.wait()
        self._clock.cleanup()

    def set_clock(self, instant: datetime) -> None:
        """Set the clock of every process in it, which runs on from there."""
        offset = (instant - datetime.now(UTC)).total_seconds()
        new = Path(self._clock.name, "new")
        new.write_text(f"{offset:+.6f}")
        new.rename(Path(self._clock.name, "offset"))

    def execute(self, *command: str) -> str:
        """Run a program in it, which must succeed, and return its standard output."""
        return subprocess.check_output(["docker", "exec", self.name, *command], text=True)

    def stop(self, mode: str = "fast") -> None:
        """Stop the server with pg_ctl, and keep its data."""
        self.execute("pg_ctl", "stop", f"--mode={mode}")

    def start(self) -> None:
        """Start the server again and wait for it."""
        self.execute("pg_ctl", "start", "--log=/var/lib/postgresql/throwaway/server.log")

    def restart(self) -> None:
        """Restart the server, for settings that need it."""
        self.stop()
        self.start()

    def database(self, name: str = "postgres") -> Database:
        """Open a database of it, until the server ends."""
        self._databases.append(Database(name, port=self.env["PGPORT"]))
        return self._databases[-1]


@contextmanager
def container(clock: datetime | None = None) -> Iterator[Container]:
    """Have a server until the end of the block."""
    server = Container(clock)
    try:
        yield server
    finally:
        server.close()
