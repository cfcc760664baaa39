"""What a bad day costs: classes that fail, zones that are unknown, backlogs, statistics from yesterday.

The second half of `make bench`. Each case has a database of its own, with 20,000 other classes. A
ratio is that to a clean run of as many classes, or as the line says, in the same database.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass

import psycopg
from harness import COMMAND, OFF, US_ZONES, Database, deploy
from rich.table import Table

OTHER_CLASSES = 20_000
DUE = "current_date - 2, 'Scheduled'"
ROUNDS = 5

REFUSE = """
create function public.refuse() returns trigger language plpgsql as $$
begin raise exception 'class % is broken', new.id; end $$;
create trigger refuse before update on public.program_classes
for each row when (new.name like 'Broken%' and new.status = 'Active') execute function public.refuse();
"""
ACTIVE = "select count(*) from public.program_classes where status = 'Active' and name like %s"


@dataclass(frozen=True)
class Line:
    """One line of the table: what was done, what it took, and what it should take."""

    what: str
    seconds: float
    goal: str
    ratio: float | None = None
    wal: int | None = None
    outcome: str = ""


def fill(db: Database, classes: int, columns: str, name: str = "Class", enrollments: int = 1) -> None:
    """Insert classes that have the given start_dt and status, spread over the first six facilities."""
    db.execute(
        f"""
        with class as (
          insert into public.program_classes (facility_id, program_id, name, capacity, start_dt, status)
          select 1 + i % 6, 1, '{name} ' || i, 20, {columns} from generate_series(1, {classes}) i
          returning id, status
        )
        insert into public.program_class_enrollments (class_id, user_id, enrollment_status, enrolled_at)
        select c.id, 1, 'Enrolled', case when c.status = 'Active' then now() end
        from class c, generate_series(1, {enrollments})
        """
    )


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


@contextmanager
def platform(server: Database, other_classes: int = OTHER_CLASSES) -> Iterator[Database]:
    """Yield such a platform with many classes that are not due."""
    with closing(install(server, "bench_bad_day")) as db:
        fill(db, other_classes, "current_date - 40 + i % 30, 'Active'")
        db.execute("vacuum analyze")
        yield db
    server.execute("drop database bench_bad_day with (force)")


def cost(db: Database, statement: str = COMMAND, undo: bool = False) -> tuple[float, int]:
    """Execute it in a new session; return its seconds and its bytes of WAL."""
    written = "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"
    with psycopg.connect(dbname=db.name) as session:
        before = db.value(written)
        began = time.perf_counter()
        session.execute(statement)
        if not undo:
            session.commit()
        seconds = time.perf_counter() - began
        wal = db.value(written) - before
        session.rollback()
    return seconds, wal


def median(db: Database, statement: str = COMMAND, undo: bool = True) -> tuple[float, int]:
    """Return the medians of a few executions, of which none has happened afterwards."""
    rounds = [cost(db, statement, undo) for _ in range(ROUNDS)]
    return tuple(statistics.median(values) for values in zip(*rounds, strict=True))


def one_broken_class(server: Database) -> Iterator[Line]:
    with platform(server) as db:
        fill(db, 1_000, DUE, enrollments=25)
        db.execute("vacuum analyze")
        clean, _ = median(db)
        db.execute(REFUSE)
        db.execute(
            "update public.program_classes set name = 'Broken'"
            " where id = (select percentile_disc(0.37) within group (order by id)"
            " from public.program_classes where status = 'Scheduled')"
        )
        seconds, wal = median(db)
        yield Line("1 broken class among 1,000 due", seconds, "ratio 2", seconds / clean, wal)


def many_that_failed_before(server: Database) -> Iterator[Line]:
    with platform(server) as db:
        db.execute(REFUSE)
        fill(db, 10_000, DUE, "Broken")
        cost(db)
        seconds, wal = cost(db)
        yield Line("10,000 that failed before fail again", seconds, "0.5 s, 1 MB", wal=wal)

        fill(db, 100, DUE, "New")
        seconds, wal = cost(db)
        yield Line(
            "100 new ones among them",
            seconds,
            "1 s, all Active",
            wal=wal,
            outcome=f"{db.value(ACTIVE, 'New%')} Active",
        )

        db.execute("drop trigger refuse on public.program_classes")
        runs, active = [], 0
        while active < 10_000 and len(runs) < 10:
            runs.append(cost(db)[0])
            active = db.value(ACTIVE, "Broken%")
        yield Line("the 10,000 mended", sum(runs), "3 runs", outcome=f"{active:,} Active in {len(runs)} runs")


def unknown_zone(server: Database) -> Iterator[Line]:
    with platform(server) as db:
        fill(db, 50_000, DUE)
        db.execute(
            "update public.program_classes set facility_id = %s where status = 'Scheduled'",
            db.facility("Mars/Phobos"),
        )
        cost(db)
        seconds, wal = cost(db)
        yield Line("50,000 due in an unknown zone", seconds, "0.3 s, 0.2 MB", wal=wal)
        seconds, _ = median(db, "select * from class_activation.health()")
        yield Line("… health()", seconds, "0.5 s")


def a_hold_and_a_long_history(server: Database) -> Iterator[Line]:
    with platform(server) as db:
        fill(db, 1, DUE)
        db.run()
        db.execute("select class_activation.revert(max(id)) from class_activation.runs")
        db.execute("update public.program_classes set capacity = 30 where status <> 'Scheduled'")
        db.execute(
            "insert into public.program_classes_history"
            " (parent_ref_id, table_name, before_update, after_update)"
            " select class_id, 'program_classes', '{}', '{}'"
            " from class_activation.holds, generate_series(1, 30000)"
        )
        fill(db, 300, DUE)
        seconds, wal = median(db)
        yield Line("1 class on hold, 50,000 rows of history, 300 due", seconds, "0.5 s", wal=wal)


def ten_portions(server: Database) -> Iterator[Line]:
    with platform(server) as db:
        fill(db, 10_000, DUE, enrollments=5)
        portion = "select class_activation.activate_scheduled_classes(p_max_classes => 1000)"
        portions = [cost(db, portion)[0] for _ in range(10)]
        yield Line(
            "10,000 due in ten portions, old statistics: the last",
            portions[-1],
            "ratio 1.5",
            portions[-1] / portions[0],
        )
        seconds, _ = median(db)
        yield Line("… the idle tick after that, never analyzed", seconds, "0.1 s")


def idle_after_a_great_day(server: Database) -> Iterator[Line]:
    for others in (5_000, 300_000):
        with platform(server, others) as db:
            fill(db, 10_000, DUE, enrollments=5)
            cost(db)
            db.execute("vacuum analyze")
            with psycopg.connect(dbname=db.name, autocommit=True) as session:
                ticks = []
                for _ in range(11):
                    began = time.perf_counter()
                    session.execute(COMMAND)
                    ticks.append(time.perf_counter() - began)
            yield Line(
                f"idle tick in a warm session, 10,000 activated that day, {others:,} classes",
                statistics.median(ticks),
                "3 ms",
            )


def listing(server: Database) -> Iterator[Line]:
    with platform(server) as db:
        fill(db, 10_000, DUE)
        db.execute("vacuum analyze")
        with psycopg.connect(dbname=db.name, autocommit=True) as session:
            times = []
            for _ in range(11):
                began = time.perf_counter()
                session.execute("select count(*) from class_activation.preview() where due")
                times.append(time.perf_counter() - began)
        yield Line("listing 10,000 due classes", statistics.median(times), "25 ms")


def a_timeout(server: Database) -> Iterator[Line]:
    with platform(server) as db:
        fill(db, 6_000, DUE, enrollments=5)
        everything, _ = cost(db, undo=True)
        timeout = f"set statement_timeout = {everything * 1000 / 3:.0f}"
        ticks, longest = 0, 0.0
        while db.value(ACTIVE.replace("'Active'", "'Scheduled'"), "%") and ticks < 20:
            with psycopg.connect(dbname=db.name, autocommit=True) as session:
                session.execute(timeout)
                began = time.perf_counter()
                with suppress(psycopg.errors.QueryCanceled):
                    session.execute(COMMAND)
                longest = max(longest, time.perf_counter() - began)
            ticks += 1
        yield Line(
            "6,000 due, a timeout that fits 2,000: the longest tick",
            longest,
            "a few ticks",
            outcome=f"{ticks} ticks",
        )


def ten_times_as_many(server: Database) -> Iterator[Line]:
    with platform(server) as db:
        seconds = []
        for size in (10_000, 100_000):
            fill(db, size, DUE)
            db.execute("vacuum analyze")
            seconds.append(cost(db)[0])
        yield Line("100,000 due, by ten times 10,000", seconds[1], "ratio 1.15", seconds[1] / seconds[0] / 10)


CASES: list[Callable[[Database], Iterator[Line]]] = [
    one_broken_class,
    many_that_failed_before,
    unknown_zone,
    a_hold_and_a_long_history,
    ten_portions,
    idle_after_a_great_day,
    listing,
    a_timeout,
    ten_times_as_many,
]


def table(lines: list[Line]) -> Table:
    result = Table(box=None, title="\nBad days", title_justify="left")
    for column in ("", "time", "ratio", "WAL", "", "goal"):
        result.add_column(column, justify="right" if column else "left")
    for line in lines:
        result.add_row(
            line.what,
            f"{line.seconds * 1000:,.0f} ms" if line.seconds > 0.01 else f"{line.seconds * 1000:.1f} ms",
            "" if line.ratio is None else f"{line.ratio:.2f}",
            "" if line.wal is None else f"{line.wal / 1e6:.2f} MB",
            line.outcome,
            line.goal,
        )
    return result
