"""A database for each test on the server that libpq's PG* variables name."""

import os
import re
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest
from harness import ROOT, Database, client, deploy, wait_until
from hypothesis import settings

# alembic.ini names the migrations from there
os.chdir(ROOT)

# the servers of tools/with-postgres that have pg_cron
PARALLEL = {"local", "docker"}
Templates = dict[tuple[str, str], str]
TEMPLATE = f"class_activation_template_{uuid.uuid4().hex[:8]}"

# Each run generates new histories. A failure is shrunk and printed step by step. No deadline: a slow machine
# fails nothing.
settings.register_profile("tests", max_examples=150, stateful_step_count=50, deadline=None)
settings.load_profile("tests")


@pytest.fixture(scope="session")
def server() -> Iterator[Database]:
    """The database that PG* names, where pg_cron lives."""
    database = Database(os.environ.get("PGDATABASE", "postgres"))
    yield database
    database.close()


# the tests that run on both schemas of the platform
ON_BOTH_SHAPES = {
    *("test_activation", "test_bad_classes", "test_documents", "test_health", "test_holds"),
    *("test_preview", "test_revert", "test_rights", "test_sessions"),
}


def pytest_configure(config: pytest.Config) -> None:
    """Start a server for each process of pytest-xdist except the first, so that none waits for pg_cron."""
    if os.environ.get("PYTEST_XDIST_WORKER", "gw0") == "gw0" or os.environ.get("SERVER") not in PARALLEL:
        return
    process = subprocess.Popen(
        ["tools/with-postgres", "sh", "-c", "env | grep -E '^(PG|PATH=)'; echo ready; exec cat"],
        env={name: value for name, value in os.environ.items() if not name.startswith("PG")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    for line in iter(process.stdout.readline, "ready\n"):
        assert line, "the server did not start"
        name, _, value = line.strip().partition("=")
        if value:
            os.environ[name] = value
    config.add_cleanup(process.communicate)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on each schema of the platform that it is for."""
    if "shape" in metafunc.fixturenames:
        both = metafunc.module.__name__ in ON_BOTH_SHAPES
        metafunc.parametrize("shape", ["classes", "cohorts"] if both else ["classes"], scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow tests, so that no process is idle at the end."""
    items.sort(key=lambda item: not item.get_closest_marker("slow"))


@pytest.fixture
def pg_cron(server: Database, roles_first: None) -> Iterator[Database]:
    """pg_cron's database, while no other process uses it; its jobs are removed before the roles."""
    with closing(Database(server.name)) as keeper:
        # it polls, because a waiting pg_advisory_lock() would hold up "create index concurrently"
        wait_until(lambda: keeper.value("select pg_try_advisory_lock(hashtext('pg_cron'))"), timeout=600)
        if not server.value("select count(*) from pg_available_extensions where name = 'pg_cron'"):
            pytest.skip("needs pg_cron on the server")
        server.execute("create extension if not exists pg_cron")
        # pg_cron's functions do not survive in a session that has seen another extension of that name
        server.reconnect()
        # a launcher that crashed in an earlier test starts again after a second
        launchers = "select count(*) from pg_stat_activity where application_name = 'pg_cron scheduler'"
        wait_until(lambda: server.value(launchers))
        yield server
        server.reconnect()
        server.execute("create extension if not exists pg_cron")
        server.execute("select cron.unschedule(jobid) from cron.job")


@pytest.fixture
def pg_dump(server: Database) -> Callable[..., str]:
    """A function that dumps a database with the given options."""
    (version,) = re.search(r"(\d+)\.", client(server, "pg_dump", "--version")).groups()
    if int(version) < server.connection.info.server_version // 10000:
        pytest.skip("needs a pg_dump that is as new as the server")
    return lambda db, *options: client(db, "pg_dump", *options)


@pytest.fixture(scope="session")
def templates(server: Database) -> Iterator[Templates]:
    """Names of the databases to copy, by schema of the platform: without and with the job."""
    names: Templates = {}
    for shape in ("classes", "cohorts"):
        bare = names[shape, "platform"] = f"{TEMPLATE}_{shape}"
        server.execute(f"create database {bare}")
        database = Database(bare)
        database.load_platform()
        if shape == "cohorts":
            database.restructure()
        database.close()
        installed = names[shape, "installed"] = f"{TEMPLATE}_{shape}_installed"
        server.execute(f"create database {installed} template {bare}")
        deploy("upgrade", "head", database=installed, x=["schedule=off"])
    yield names
    for name in names.values():
        server.execute(f"drop database {name} with (force)")


def new_role(server: Database) -> Iterator[str]:
    name = f"class_activation_test_{uuid.uuid4().hex[:8]}"
    server.execute(f"create role {name} login password 'secret'")
    yield name
    server.execute(f"drop owned by {name}")
    server.execute(f"drop role {name}")


@pytest.fixture
def role(server: Database) -> Iterator[str]:
    """The name of a new role that may log in; it is dropped after the test's databases."""
    yield from new_role(server)


@pytest.fixture
def other(server: Database) -> Iterator[str]:
    """The name of a second role of that kind."""
    yield from new_role(server)


@pytest.fixture
def roles_first(request: pytest.FixtureRequest) -> None:
    """Create the roles that the test uses before its databases, so that they are dropped after them."""
    for name in {"role", "other"} & set(request.fixturenames):
        request.getfixturevalue(name)


def copy(server: Database, template: str, name: str | None = None) -> Iterator[Database]:
    name = name or f"class_activation_test_{uuid.uuid4().hex[:8]}"
    server.execute(f"create database {name} template {template}")
    try:
        with closing(Database(name)) as database:
            yield database
    finally:
        server.execute(f"drop database {name} with (force)")


@pytest.fixture
def empty(server: Database, roles_first: None) -> Iterator[Database]:
    """A database with nothing in it."""
    yield from copy(server, "template0")


@pytest.fixture
def platform(server: Database, templates: Templates, shape: str, roles_first: None) -> Iterator[Database]:
    """A database with the platform's tables and nothing else."""
    yield from copy(server, templates[shape, "platform"])


@pytest.fixture
def db(server: Database, templates: Templates, shape: str, roles_first: None) -> Iterator[Database]:
    """A database with the platform's tables and the job installed, not scheduled."""
    yield from copy(server, templates[shape, "installed"])


@pytest.fixture
def new_database(
    server: Database, templates: Templates, roles_first: None
) -> Iterator[Callable[..., Database]]:
    """A function that copies a database, by default the bare platform's, until the end of the test."""
    bare = templates["classes", "platform"]
    with ExitStack() as databases:
        yield lambda template=bare, name=None: databases.enter_context(
            contextmanager(copy)(server, template, name)
        )


@pytest.fixture
def cron(pg_cron: Database) -> Iterator[Database]:
    """pg_cron's database, with the platform's tables until the end of the test."""
    assert not pg_cron.value("select to_regclass('public.facilities') is not null"), "a platform is there"
    pg_cron.load_platform()
    yield pg_cron
    pg_cron.reconnect()
    pg_cron.execute((ROOT / "tests/drop_platform.sql").read_text())


@pytest.fixture
def scheduled(cron: Database) -> Database:
    """The database of `cron` with the job in pg_cron, and healthy."""
    deploy("upgrade", "head", database=cron.name)
    cron.run()
    assert cron.health().status == "ok"
    return cron


@pytest.fixture(autouse=True)
def unset_database_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connect to the server of the PG* variables only."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
