"""The image for deployments, `docker build --target deploy`."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from container import needs_docker
from harness import ROOT, Database, url

pytestmark = [needs_docker, pytest.mark.slow]

CERTIFICATES = Path("/usr/local/share/ca-certificates")


def docker(*arguments: str, **variables: str) -> str:
    """Run docker, which must succeed, and return its standard output."""
    command, env = ["docker", *arguments], {**os.environ, **variables}
    process = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.fixture
def image(tmp_path: Path) -> str:
    """The image, built on a Debian with the certificate authorities of this machine."""
    (tmp_path / "certificates").mkdir()
    if CERTIFICATES.exists():
        shutil.copytree(CERTIFICATES, tmp_path / "certificates", dirs_exist_ok=True)
    (tmp_path / "Dockerfile").write_text(f"FROM debian:trixie-slim\nCOPY certificates {CERTIFICATES}\n")
    base, name = "class-activation-test-base", "class-activation-test"
    docker("build", f"--tag={base}", str(tmp_path))
    options = ["--network=host", "--target=deploy", f"--build-arg=BASE={base}", f"--tag={name}"]
    docker("build", *options, str(ROOT))
    return name


def test_the_image_has_no_root_and_no_build_tools(platform: Database, db: Database, image: str) -> None:
    bare = platform.catalog()
    run = ["run", "--rm", "--network=host", "--env=DATABASE_URL"]

    docker(*run, image, "-x", "schedule=off", "upgrade", "head", DATABASE_URL=url(platform.name))
    assert platform.catalog() == db.catalog()
    docker(*run, image, "downgrade", "base", DATABASE_URL=url(platform.name))
    assert platform.catalog() == bare

    contents = "id --user; ls; for tool in pip pip3 cc git make; do command -v $tool; done; true"
    found = docker("run", "--rm", "--network=none", "--entrypoint=sh", image, "-c", contents)
    assert found.split() == ["65534", "alembic.ini", "migrations", "sql"]
