"""The cost of the job, compared with five other ways to do the same.

`make bench` measures on a throwaway server, prints tables as it goes, and draws docs/bench.svg. In each
round each way gets a fresh copy of the same database and a new session, as from pg_cron, in random order;
ratios compare times of the same round. Only two settings are changed, because they would blur the numbers:
no autovacuum, and no full page images in the WAL.
"""

import os
import random
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

import psycopg
from chart import JOB, LOOP, ORM, WORKER, chart, line, rect, text
from harness import BATCH_USER, COMMAND, OFF, PLATFORMS_DUE, US_ZONES, Database, deploy
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sqlalchemy import Engine, create_engine, func, select
from sqlalchemy.ext.automap import automap_base
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

# due classes: rounds
ROUNDS = {10: 31, 100: 15, 1_000: 15, 10_000: 5}
ENROLLMENTS = 25
OTHER_CLASSES = 20_000
IDLE_SIZES = [1_000, 10_000, 100_000, 1_000_000]
IDLE_TICKS = 21

ACTIVATE = f"""
update public.program_classes
set status = 'Active', updated_at = now(), update_user_id = {BATCH_USER}
where id = any (%s)
"""
CHANGE_LOG = f"""
insert into public.change_log_entries
  (table_name, parent_ref_id, field_name, old_value, new_value, created_at, user_id)
select 'program_classes', id, 'status', 'Scheduled', 'Active', now(), {BATCH_USER} from unnest(%s) id
"""
BACKFILL = f"""
update public.program_class_enrollments
set enrolled_at = now(), updated_at = now(), update_user_id = {BATCH_USER}
where class_id = any (%s) and enrollment_status = 'Enrolled' and enrolled_at is null
"""


def install(server: Database, name: str) -> Database:
    """Create a platform with the job installed, six facilities, a resident and a program."""
    server.execute(f"create database {name}")
    db = Database(name)
    db.load_platform()
    for zone in US_ZONES:
        db.facility(zone)
    db.resident()
    db.program()
    deploy("upgrade", "head", database=name, x=OFF)
    return db


def fill(db: Database, classes: int, columns: str, enrollments: int = 1) -> None:
    """Insert classes with the given start_dt and status, spread over the first six facilities."""
    db.execute(
        f"""
        with class as (
          insert into public.program_classes (facility_id, program_id, name, capacity, start_dt, status)
          select 1 + i % 6, 1, 'Class ' || i, 20, {columns} from generate_series(1, {classes}) i
          returning id, status
        )
        insert into public.program_class_enrollments (class_id, user_id, enrollment_status, enrolled_at)
        select c.id, 1, 'Enrolled', case when c.status = 'Active' then now() end
        from class c, generate_series(1, {enrollments})
        """
    )


def job(database: str) -> None:
    """Call the job."""
    with psycopg.connect(dbname=database) as session:
        session.execute(COMMAND)


def floor(database: str, *more: str) -> None:
    """Two bare updates: what must be written, and nothing else."""
    with psycopg.connect(dbname=database) as session:
        activated = session.execute(ACTIVATE.replace("%s", f"array({PLATFORMS_DUE})") + "returning id")
        class_ids = [class_id for (class_id,) in activated]
        for statement in (BACKFILL, *more):
            session.execute(statement, [class_ids])


def floor_with_change_log(database: str) -> None:
    """The bare updates, and the entries in the change log that make them visible to staff."""
    floor(database, CHANGE_LOG)


def platform(database: str) -> None:
    """The statements of the platform's own worker."""
    with psycopg.connect(dbname=database) as session:
        session.execute("select id from public.users where username = 'system_batch'").fetchone()
        ids = [class_id for (class_id,) in session.execute(PLATFORMS_DUE)]
        session.execute(ACTIVATE, [ids])
        session.execute(BACKFILL, [ids])


@cache
def tables() -> Any:
    """Reflect the tables once, before anything is measured."""
    base = automap_base()
    base.prepare(autoload_with=engine("bench_template"))
    return base.classes


def engine(database: str) -> Engine:
    return create_engine("postgresql+psycopg://", connect_args={"dbname": database}, poolclass=NullPool)


def orm(database: str) -> None:
    """A worker that loads objects and saves them, through SQLAlchemy."""
    class_, enrollment = tables().program_classes, tables().program_class_enrollments
    facility = tables().facilities
    with Session(engine(database)) as session:
        today = func.date(func.timezone(facility.timezone, func.now()))
        due = session.scalars(
            select(class_)
            .join(facility, facility.id == class_.facility_id)
            .where(
                class_.status == "Scheduled",
                class_.archived_at.is_(None),
                class_.deleted_at.is_(None),
                class_.start_dt <= today,
            )
        ).all()
        waiting = session.scalars(
            select(enrollment).where(
                enrollment.class_id.in_([row.id for row in due]),
                enrollment.enrollment_status == "Enrolled",
                enrollment.enrolled_at.is_(None),
            )
        ).all()
        now = datetime.now(UTC)
        for row in due:
            row.status, row.updated_at, row.update_user_id = "Active", now, BATCH_USER
        for row in waiting:
            row.enrolled_at, row.updated_at, row.update_user_id = now, now, BATCH_USER
        session.commit()


def loop(database: str) -> None:
    """PL/pgSQL, one class after the other."""
    activate, backfill = (
        statement.replace("any (%s)", "v_class_id").strip() for statement in (ACTIVATE, BACKFILL)
    )
    with psycopg.connect(dbname=database) as session:
        session.execute(
            f"do $$ declare v_class_id integer; begin for v_class_id in {PLATFORMS_DUE} loop"
            f" {activate}; {backfill}; end loop; end $$"
        )


WAYS: dict[str, Callable[[str], None]] = {
    "this job": job,
    "two bare updates": floor,
    "… and the change log": floor_with_change_log,
    "platform's worker": platform,
    "SQLAlchemy ORM": orm,
    "PL/pgSQL loop": loop,
}


@dataclass(frozen=True)
class Cost:
    seconds: float
    wal: int
    buffers: int


def usage(db: Database) -> tuple[int, int]:
    """Return the bytes of WAL so far, and the buffers that the ended sessions of the database touched."""
    return db.row(
        "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint, blks_hit + blks_read"
        " from pg_stat_database where datname = current_database()"
    )


def measure(db: Database, way: Callable[[str], None]) -> Cost:
    """Measure one way, with the pages of the database in memory."""
    db.execute("select count(*) from public.program_classes")
    db.execute("select count(*) from public.program_class_enrollments")
    before = usage(db)
    began = time.perf_counter()
    way(db.name)
    seconds = time.perf_counter() - began
    db.wait_until_alone()
    wal, buffers = (after - earlier for after, earlier in zip(usage(db), before, strict=True))
    return Cost(seconds, wal, buffers)


def longest_wait(db: Database, way: Callable[[str], None], class_ids: list[int]) -> float:
    """Edit due classes during a run, and return the duration of the longest edit."""
    edit = "update public.program_classes set capacity = 9 where id = %s"
    longest = 0.0
    with ThreadPoolExecutor(1) as threads:
        run = threads.submit(way, db.name)
        while not run.done():
            began = time.perf_counter()
            db.execute(edit, random.choice(class_ids))
            longest = max(longest, time.perf_counter() - began)
            time.sleep(0.002)  # an editor, not a load that slows the run down
        run.result()
    return longest


def bench_size(
    server: Database, size: int, tick: Callable[[], None]
) -> tuple[dict[str, list[Cost]], dict[str, float]]:
    """Measure each way with SIZE due classes and, in a last round, how long an editor waits."""
    with closing(install(server, "bench_template")) as db:
        fill(db, OTHER_CLASSES, "current_date - 40 + i % 30, 'Active'", enrollments=5)
        fill(db, size, "current_date - 2, 'Scheduled'", enrollments=ENROLLMENTS)
        db.execute("vacuum analyze")
        due = [row.id for row in db.rows(PLATFORMS_DUE)]
        tables()
    costs: dict[str, list[Cost]] = {name: [] for name in WAYS}
    waits: dict[str, float] = {}
    for round_ in range(ROUNDS[size] + 1):
        for name in random.sample(list(WAYS), len(WAYS)):
            server.execute("create database bench template bench_template strategy file_copy")
            with closing(Database("bench")) as db:
                if round_ < ROUNDS[size]:
                    costs[name].append(measure(db, WAYS[name]))
                else:
                    waits[name] = longest_wait(db, WAYS[name], due)
            server.execute("drop database bench with (force)")
            tick()
    server.execute("drop database bench_template with (force)")
    return costs, waits


def bench_idle(server: Database, tick: Callable[[], None]) -> dict[int, list[float]]:
    """Measure runs that find nothing due among more and more classes, each in a new session."""
    seconds: dict[int, list[float]] = {}
    with closing(install(server, "bench_idle")) as db:
        classes = 0
        for size in IDLE_SIZES:
            # one in ten starts in the future, as on a platform in use
            fill(
                db,
                size - classes,
                "current_date + 400 - i % 4000, case when i % 4000 < 400 then 'Scheduled' else 'Active' end"
                "::public.class_status",
            )
            classes = size
            db.execute("vacuum analyze")
            seconds[size] = []
            for _ in range(IDLE_TICKS):
                with psycopg.connect(dbname=db.name, autocommit=True) as session:
                    began = time.perf_counter()
                    session.execute(COMMAND)
                    seconds[size].append(time.perf_counter() - began)
                tick()
    server.execute("drop database bench_idle with (force)")
    return seconds


def ratios(costs: dict[str, list[Cost]], name: str) -> list[float]:
    """Return the time of one way relative to the floor, for each round."""
    return [
        cost.seconds / least.seconds
        for cost, least in zip(costs[name], costs["two bare updates"], strict=True)
    ]


def table(size: int, costs: dict[str, list[Cost]], waits: dict[str, float]) -> Table:
    result = Table(
        box=None, title=f"\n{size:,} due classes, {size * ENROLLMENTS:,} enrollments", title_justify="left"
    )
    for column in ("", "time", "relative to two bare updates", "WAL", "buffers", "an editor waits"):
        result.add_column(column, justify="right" if column else "left")
    for name, rounds in costs.items():
        by_floor = ratios(costs, name)
        result.add_row(
            name,
            f"{statistics.median(cost.seconds for cost in rounds) * 1000:,.0f} ms",
            f"{statistics.median(by_floor):.2f} ({min(by_floor):.2f} to {max(by_floor):.2f})",
            f"{statistics.median(cost.wal for cost in rounds) / 1e6:,.1f} MB",
            f"{statistics.median(cost.buffers for cost in rounds):,.0f}",
            f"{waits[name] * 1000:,.0f} ms",
        )
    return result


def idle_table(seconds: dict[int, list[float]]) -> Table:
    result = Table(box=None, title="\nNothing is due", title_justify="left")
    for column in ("classes", "time of a run", "min to max"):
        result.add_column(column, justify="right")
    for size, ticks in seconds.items():
        result.add_row(
            f"{size:,}",
            f"{statistics.median(ticks) * 1000:.1f} ms",
            f"{min(ticks) * 1000:.1f} to {max(ticks) * 1000:.1f} ms",
        )
    return result


def draw(costs: dict[int, dict[str, list[Cost]]]) -> None:
    """Draw the medians of the ratios."""
    ways = [name for name, way in WAYS.items() if way not in (floor, floor_with_change_log)]
    colors = dict(zip(ways, (JOB, WORKER, ORM, LOOP), strict=True))
    left, unit, bar = 130, 150, 16
    group = bar * len(ways) + 14
    height = 40 + group * len(costs)
    with chart("bench", left + 4 * unit, height + 30) as elements:
        for index, name in enumerate(ways):
            elements.append(rect(left + unit * index, 8, 12, 12, colors[name]))
            elements.append(text(left + 18 + unit * index, 19, name))
        for row, (size, by_way) in enumerate(costs.items()):
            top = 40 + group * row
            elements.append(text(left - 12, top + group / 2, f"{size:,} due", "end"))
            for index, name in enumerate(ways):
                ratio = statistics.median(ratios(by_way, name))
                y = top + bar * index
                elements.append(rect(left, y, unit * min(ratio, 3.6), bar - 3, colors[name]))
                elements.append(text(left + unit * min(ratio, 3.6) + 5, y + 11, f"{ratio:.2f}"))
        elements.append(line(left + unit, 34, left + unit, height, "4"))
        elements.append(text(left + unit, height + 18, "time of two bare updates", "middle"))


def main() -> None:
    """Measure, print and draw."""
    server = Database(os.environ.get("PGDATABASE", "postgres"))
    for setting in ("autovacuum", "full_page_writes"):
        server.execute(f"alter system set {setting} = off")
    server.execute("select pg_reload_conf()")
    steps = sum(rounds + 1 for rounds in ROUNDS.values()) * len(WAYS) + len(IDLE_SIZES) * IDLE_TICKS
    costs: dict[int, dict[str, list[Cost]]] = {}
    with Progress(console=Console(width=110), transient=True) as progress, closing(server):
        bar = progress.add_task("Measuring", total=steps)

        def tick() -> None:
            progress.advance(bar)

        for size in ROUNDS:
            costs[size], waits = bench_size(server, size, tick)
            progress.console.print(table(size, costs[size], waits))
        progress.console.print(idle_table(bench_idle(server, tick)))
    draw(costs)


if __name__ == "__main__":
    main()
