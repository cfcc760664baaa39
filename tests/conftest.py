"""A database for each test on the server that libpq's PG* variables name."""

import os
import uuid
from collections.abc import Iterator

import pytest
from harness import ROOT, Database, deploy
from hypothesis import settings

TEMPLATE = f"class_activation_template_{uuid.uuid4().hex[:8]}"

# Each run of the tests makes up other histories, because what nobody has thought of is what the model is
# for; what it finds it shrinks and prints step by step. Only the number of steps is fixed: no clock fails it.
settings.register_profile("short", max_examples=300, stateful_step_count=50, deadline=None)
settings.register_profile("long", settings.get_profile("short"), max_examples=2000, stateful_step_count=100)
settings.load_profile("short")


@pytest.fixture(scope="session")
def server() -> Iterator[Database]:
    """The database that PG* names, where pg_cron lives."""
    database = Database(os.environ.get("PGDATABASE", "postgres"))
    yield database
    database.close()


@pytest.fixture(scope="session")
def templates(server: Database) -> Iterator[dict[str, str]]:
    """Names of two databases to copy: the bare platform, and the platform with us installed."""
    names = {"platform": f"{TEMPLATE}_platform", "installed": f"{TEMPLATE}_installed"}
    server.execute(f"create database {names['platform']}")
    database = Database(names["platform"])
    database.load_platform()
    database.close()
    server.execute(f"create database {names['installed']} template {names['platform']}")
    deploy("upgrade", "head", database=names["installed"], x=["schedule=off"])
    yield names
    for name in names.values():
        server.execute(f"drop database {name} with (force)")


@pytest.fixture
def role(server: Database) -> Iterator[str]:
    """The name of a new role that may log in; it and its objects are gone afterwards."""
    name = f"class_activation_test_{uuid.uuid4().hex[:8]}"
    server.execute(f"create role {name} login password 'secret'")
    yield name
    server.execute(f"drop owned by {name}")
    server.execute(f"drop role {name}")


def copy(server: Database, template: str) -> Iterator[Database]:
    name = f"class_activation_test_{uuid.uuid4().hex[:8]}"
    server.execute(f"create database {name} template {template}")
    database = Database(name)
    yield database
    database.close()
    server.execute(f"drop database {name} with (force)")


@pytest.fixture
def empty(server: Database) -> Iterator[Database]:
    """A database with nothing in it."""
    yield from copy(server, "template0")


@pytest.fixture
def platform(server: Database, templates: dict[str, str], role: str) -> Iterator[Database]:
    """A database with the platform's tables and nothing of ours; it is gone before ROLE is."""
    yield from copy(server, templates["platform"])


@pytest.fixture
def db(server: Database, templates: dict[str, str]) -> Iterator[Database]:
    """A database with the platform's tables and the job installed, not scheduled."""
    yield from copy(server, templates["installed"])


@pytest.fixture
def cron(server: Database, role: str) -> Iterator[Database]:
    """The database that pg_cron lives in, with the extension and the platform's tables for a while."""
    assert not server.value("select to_regclass('public.facilities') is not null"), (
        "somebody's platform is there"
    )
    server.execute("create extension if not exists pg_cron")
    server.load_platform()
    yield server
    # pg_cron's functions do not survive in a session that has seen another extension of that name
    server.connection = server.connect()
    server.execute("select cron.unschedule(jobid) from cron.job where jobname ~ 'class'")
    server.execute((ROOT / "tests/drop_platform.sql").read_text())


@pytest.fixture(autouse=True)
def no_surprises_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only PG* says where to connect."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
