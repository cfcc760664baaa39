"""5 AM on a server with a faked clock: only pg_cron calls the job."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from container import Container, container, needs_docker
from harness import Database, deploy, wait_until
from mornings import DAYS, five_am, install, measure

pytestmark = needs_docker

ZONE = "America/Chicago"
DAY = date(2026, 1, 14)
FIVE = five_am(DAY, ZONE)
SOON = timedelta(seconds=2)


@pytest.fixture(scope="module")
def year() -> Iterator[tuple[Container, Database, Database]]:
    """A server whose days pass, with this job in one database and the platform's statements in another."""
    with container(five_am(min(DAYS), "UTC") - timedelta(days=1)) as server:
        yield server, *install(server)


@pytest.mark.parametrize("day", DAYS, ids=DAYS.values())
def test_each_class_becomes_active_at_5_am_local_time(
    year: tuple[Container, Database, Database], day: date
) -> None:
    for morning in measure(*year, day):
        assert timedelta(0) <= morning.job < SOON, morning
        # or the table in the README would show another clock than the worker's
        assert abs(morning.worker) > timedelta(hours=3), morning


@pytest.fixture
def before_five() -> Iterator[Container]:
    """A server on which it is 04:49:55 in Chicago, with the job scheduled and a class that starts today."""
    with container(FIVE - timedelta(minutes=10, seconds=5)) as server:
        db = server.database()
        db.load_platform()
        db.class_(db.facility(ZONE), DAY)
        deploy("upgrade", "head", database=db.name, env=server.env)
        yield server


def activated_at(db: Database) -> datetime:
    """Await the activation."""
    wait_until(lambda: db.value("select count(*) from class_activation.activations"))
    return db.value("select activated_at from class_activation.activations").astimezone(UTC)


def test_the_first_tick_after_an_outage_catches_up(before_five: Container) -> None:
    before_five.stop()
    before_five.set_clock(FIVE + timedelta(minutes=20))
    before_five.start()
    before_five.set_clock(FIVE + timedelta(minutes=29, seconds=58))

    assert timedelta(minutes=30) <= activated_at(before_five.database()) - FIVE < timedelta(minutes=30) + SOON


def test_a_clock_that_jumps_4_hours_ahead_delays_a_class_to_the_next_tick(before_five: Container) -> None:
    before_five.set_clock(FIVE + timedelta(hours=3, minutes=50))
    before_five.set_clock(FIVE + timedelta(hours=3, minutes=59, seconds=58))

    activated = activated_at(before_five.database())
    assert timedelta(hours=4) <= activated - FIVE < timedelta(hours=4) + SOON


def test_a_standby_that_is_promoted_at_0459_activates_at_5(before_five: Container) -> None:
    standby = "/var/lib/postgresql/standby"
    before_five.execute("pg_basebackup", f"--pgdata={standby}", "--write-recovery-conf", "--checkpoint=fast")
    before_five.execute("pg_ctl", "start", f"--pgdata={standby}", "--options=-p 5433", f"--log={standby}.log")

    def on_standby(sql: str) -> str:
        return before_five.execute("psql", "--port=5433", "--tuples-only", "--no-align", f"--command={sql}")

    assert on_standby("select class_name from class_activation.preview()") == f"Class of {DAY}\n"
    launcher = "select level from class_activation.doctor() where check_name = 'pg_cron_launcher'"
    assert on_standby(launcher) == "ok\n"
    before_five.set_clock(FIVE - timedelta(minutes=1))
    before_five.stop("immediate")
    on_standby("select pg_promote()")
    before_five.set_clock(FIVE - timedelta(seconds=1))

    activations = "select activated_at at time zone 'UTC' from class_activation.activations"
    activated = wait_until(lambda: on_standby(activations).strip())
    assert timedelta(0) <= datetime.fromisoformat(activated + "+00:00") - FIVE < SOON
