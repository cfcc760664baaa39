"""Every way of calling Alembic deploys the same."""

import os
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from harness import OFF, ROOT, Database, deploy, psql, refused, url
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool


@pytest.fixture
def config(platform: Database, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Alembic's configuration, as a program makes it."""
    monkeypatch.setenv("PGDATABASE", platform.name)
    return Config(ROOT / "alembic.ini", cmd_opts=Namespace(x=OFF))


@pytest.fixture
def engine(platform: Database) -> Iterator[Engine]:
    """The application's engine."""
    address = url(platform.name).replace("postgresql:", "postgresql+psycopg:")
    engine = create_engine(address, poolclass=NullPool)
    yield engine
    engine.dispose()


def test_without_a_command_line_the_job_is_scheduled(cron: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGDATABASE", cron.name)
    command.upgrade(Config(ROOT / "alembic.ini"), "head")
    assert cron.value("select bool_and(active) from cron.job where database = current_database()")


def test_the_command_line_works_from_any_folder(platform: Database, db: Database, tmp_path: Path) -> None:
    alembic = [sys.executable, "-m", "alembic", "-c", ROOT / "alembic.ini", "-x", *OFF, "upgrade", "head"]
    env = {**os.environ, "PGDATABASE": platform.name}
    subprocess.run(alembic, cwd=tmp_path, env=env, check=True, capture_output=True)
    assert platform.catalog() == db.catalog()


def test_a_caller_keeps_its_transaction(
    platform: Database, db: Database, config: Config, engine: Engine
) -> None:
    settings = text(
        "select string_agg(name || setting, '' order by name) from pg_settings where name !~ 'plpgsql'"
    )
    bare = platform.catalog()
    for end, after in (("rollback", bare), ("commit", db.catalog())):
        with engine.connect() as connection:
            connection.execute(text("set local search_path = 'It''s'"))
            before = connection.execute(settings).scalar()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            assert connection.execute(settings).scalar() == before
            assert platform.catalog() == bare
            getattr(connection, end)()
        assert platform.catalog() == after


@pytest.mark.parametrize(
    ("level", "message"),
    [
        ("AUTOCOMMIT", "AUTOCOMMIT"),
        # pg_cron's database would commit before the caller does
        ("READ COMMITTED", "cron_url"),
        # its snapshot would miss the commit of an earlier deployment
        ("SERIALIZABLE", "ISOLATION LEVEL"),
    ],
)
def test_an_unsuitable_connection_is_refused(
    platform: Database, config: Config, engine: Engine, level: str, message: str
) -> None:
    bare = platform.catalog()
    config.cmd_opts.x = ["cron_url=postgresql:///postgres"] if message == "cron_url" else OFF
    with engine.connect().execution_options(isolation_level=level) as connection:
        connection.execute(text("select 1 from pg_class"))
        config.attributes["connection"] = connection
        with pytest.raises(CommandError, match=message):
            command.upgrade(config, "head")
    assert platform.catalog() == bare


@pytest.mark.parametrize("revision", ["head", "heads", "+1", "1.0", "1.0.0"])
def test_every_spelling_of_a_revision_works(platform: Database, db: Database, revision: str) -> None:
    bare = platform.catalog()
    deploy("upgrade", revision, database=platform.name, x=OFF)
    assert platform.catalog() == db.catalog()
    deploy("downgrade", "-1" if revision == "+1" else "base", database=platform.name, x=OFF)
    assert platform.catalog() == bare

    psql(platform, deploy("upgrade", revision, "--sql", database="nowhere", x=OFF))
    assert platform.catalog() == db.catalog()
    revisions = f"{revision}:-1" if revision == "1.0.0" else "head:base"
    psql(platform, deploy("downgrade", revisions, "--sql", database="nowhere", x=OFF))
    assert platform.catalog() == bare


def test_looking_at_the_revision_changes_nothing(platform: Database) -> None:
    before = platform.catalog()
    for looking in ("current", "history", "heads"):
        deploy(looking, database=platform.name)
    deploy("downgrade", "base", database=platform.name)
    assert platform.catalog() == before


@pytest.mark.parametrize("installed", [False, True])
def test_stamp_is_refused(platform: Database, db: Database, installed: bool) -> None:
    said = refused(db if installed else platform, "stamp", "head")
    assert "Run alembic upgrade head instead" in said


@pytest.mark.parametrize(
    ("revision", "hint"), [("9.9.9", "or a newer one"), ("0004", "CHANGELOG.md"), ("0.2.0", "CHANGELOG.md")]
)
@pytest.mark.parametrize("command", [("upgrade", "head"), ("downgrade", "base"), ("current",)])
def test_an_unknown_revision_is_refused(
    db: Database, revision: str, hint: str, command: tuple[str, ...]
) -> None:
    db.execute("update class_activation.alembic_version set version_num = %s", revision)

    said = refused(db, *command)

    assert f"class activation {revision} is installed" in said
    assert hint in said


def test_an_engine_can_be_passed(platform: Database, db: Database, config: Config, engine: Engine) -> None:
    config.attributes["connection"] = engine
    bare = platform.catalog()
    for upgrade, downgrade in (("head", "-1"), ("+1", "base")):
        command.upgrade(config, upgrade)
        assert platform.catalog() == db.catalog()
        command.downgrade(config, downgrade)
        assert platform.catalog() == bare
