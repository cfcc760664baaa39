"""When classes become Active, with this job and with the platform's worker, on a server with a faked clock.

`make mornings` prints the table of README.md and draws docs/mornings.svg. Two databases of one server hold
the same classes, one at each facility. One has this job. The other has the worker's statement, which at
05:00 UTC activates every class whose start date has arrived.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from chart import JOB, PALE, WORKER, chart, dot, rect, text
from container import Container, container
from harness import PLATFORMS_DUE, US_ZONES, Database, deploy, wait_until
from rich.console import Console
from rich.progress import track
from rich.table import Table

ZONES = [*US_ZONES, "Australia/Sydney"]
DAYS = {
    date(2026, 1, 14): "an ordinary day",
    date(2026, 3, 8): "Chicago's clocks go forward",
    date(2026, 4, 5): "Sydney's clocks go back",
    date(2026, 10, 4): "Sydney's clocks go forward",
    date(2026, 11, 1): "Chicago's clocks go back",
}
QUARTER = timedelta(minutes=15)


@dataclass(frozen=True)
class Morning:
    """How late a class starting on DAY in ZONE became Active; negative is before 5 AM local time."""

    day: date
    zone: str
    job: timedelta
    worker: timedelta


def five_am(day: date, zone: str) -> datetime:
    """Return the UTC time of 5 AM in ZONE."""
    return datetime.combine(day, time(5), ZoneInfo(zone)).astimezone(UTC)


def ticks(day: date) -> list[datetime]:
    """Return when a class of DAY may become Active, and the quarter hour before each tick of the job."""
    job = {five_am(day, zone) for zone in ZONES}
    worker = {five_am(day + timedelta(days=days), "UTC") for days in (0, 1)}
    return sorted(job | {tick - QUARTER for tick in job} | worker)


def install(server: Container) -> tuple[Database, Database]:
    """Return the databases of the job and of the worker, with the same facilities."""
    job = server.database()
    job.execute("create database worker")
    worker = server.database("worker")
    for db in (job, worker):
        db.load_platform()
        for zone in ZONES:
            db.facility(zone)
    deploy("upgrade", "head", database=job.name, env=server.env)
    job.execute(
        "select cron.schedule_in_database('worker', '0 5 * * *', %s, 'worker')",
        f"update public.program_classes set status = 'Active' where id in ({PLATFORMS_DUE})",
    )
    return job, worker


def let_tick(server: Container, db: Database, tick: datetime) -> None:
    """Set the clock to a second before TICK, and wait until pg_cron has run its jobs."""
    server.set_clock(tick - timedelta(seconds=1))
    jobs = 2 if tick.time() == time(5) else 1
    done = "select count(*) >= %s from cron.job_run_details where status = 'succeeded' and start_time >= %s"
    wait_until(lambda: db.value(done, jobs, tick))


def measure(server: Container, job: Database, worker: Database, day: date) -> Iterator[Morning]:
    """Let DAY pass, and yield how late its classes became Active."""
    class_ids = {
        zone: [db.class_(facility, day) for db in (job, worker)]
        for facility, zone in enumerate(ZONES, start=1)
    }
    for tick in ticks(day):
        let_tick(server, job, tick)
    active_at = (
        "select created_at from public.program_classes_history"
        " where parent_ref_id = %s and after_update ->> 'status' = 'Active'"
    )
    for zone, (job_id, worker_id) in class_ids.items():
        five = five_am(day, zone)
        yield Morning(
            day, zone, job.value(active_at, job_id) - five, worker.value(active_at, worker_id) - five
        )


def draw(mornings: list[Morning]) -> None:
    """Draw one day in the local time of its facilities."""
    (day,) = {morning.day for morning in mornings}
    left, hour, bottom = 165, 26, 45 + 28 * len(mornings)
    with chart("mornings", left + 25 * hour, bottom + 55) as elements:
        elements += [dot(left, 16, JOB), text(left + 12, 20, "this job")]
        elements += [
            dot(left + 100, 16, WORKER),
            text(left + 112, 20, "the worker, at 05:00 UTC"),
        ]
        for row, morning in enumerate(mornings):
            y = 48 + 28 * row
            ends = sorted(
                (left + hour * (5 + late / timedelta(hours=1)), color)
                for late, color in ((morning.job, JOB), (morning.worker, WORKER))
            )
            elements.append(text(left - 12, y + 4, morning.zone, "end"))
            elements.append(rect(ends[0][0], y - 2, ends[1][0] - ends[0][0], 4, PALE))
            elements += [dot(x, y, color) for x, color in ends]
        elements += [text(left + hour * h, bottom + 14, f"{h:02}:00", "middle") for h in range(0, 25, 3)]
        elements.append(
            text(left, bottom + 40, f"local time at which a class starting on {day} became Active")
        )


def main() -> None:
    """Measure, print and draw."""
    console = Console(width=120)
    first = five_am(min(DAYS), "UTC") - timedelta(days=1)
    with container(first) as server:
        job, worker = install(server)
        days = track(DAYS, "Running the days", console=console, transient=True)
        mornings = [morning for day in days for morning in measure(server, job, worker, day)]

    table = Table(
        box=None, title="How long after 5 AM local time a class became Active", title_justify="left"
    )
    table.add_column("facility in")
    table.add_column("this job, at most", justify="right")
    for day in DAYS:
        table.add_column(f"worker {day:%b} {day.day}", justify="right")
    for zone in ZONES:
        late = [morning for morning in mornings if morning.zone == zone]
        table.add_row(
            zone,
            f"{max(morning.job for morning in late).total_seconds():.2f} s",
            *[f"{morning.worker / timedelta(minutes=1):+.0f} min" for morning in late],
        )
    console.print(table)
    draw([morning for morning in mornings if morning.day == min(DAYS) and morning.zone in US_ZONES])


if __name__ == "__main__":
    main()
