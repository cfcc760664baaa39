"""The job on a sample platform, from an empty database to a class that pg_cron activates by itself.

`make demo` runs it. It fills the database that libpq's PG* variables name: use a throwaway one.
"""

import os
import sys
from datetime import UTC, datetime, time, timedelta
from textwrap import dedent

from harness import ROOT, Database, alembic, posix_zone
from rich.console import Console
from rich.markup import escape
from rich.table import Table

console = Console(highlight=False, width=110)


def chapter(title: str, text: str) -> None:
    """Print a heading and an introduction."""
    console.print(f"\n[bold cyan]{title}[/]\n{text}\n")


def cell(value: object) -> str:
    """Return a value as psql shows it."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}{'Z' if value.tzinfo else ''}"
    return str(value)


def show(db: Database, sql: str, limit: int = 6) -> int:
    """Print a query and its rows; return their number."""
    sql = dedent(sql).strip()
    console.print(f"[bold]{escape(sql)};[/]", soft_wrap=True)
    cursor = db.execute(sql)
    rows = cursor.fetchall()
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for column in cursor.description:
        table.add_column(column.name, justify="right" if column.type_display in ("int4", "int8") else "left")
    for row in rows[:limit]:
        table.add_row(*map(cell, row))
    console.print(table)
    more = f", {limit} of them shown" if len(rows) > limit else ""
    console.print(f"[dim]({len(rows)} row{'' if len(rows) == 1 else 's'}{more})[/]\n")
    return len(rows)


def await_activation(db: Database, until: datetime) -> None:
    """Show the facility's clock until a run reports an activation."""
    listener = db.connect()
    listener.execute("listen class_activation")
    console.print(f"Waiting for {until:%H:%M:%S} UTC, which is 05:00:00 at Night School.\n")
    with console.status("") as status:
        while not next(listener.notifies(timeout=0.5, stop_after=1), None):
            left = until - datetime.now(UTC)
            clock = datetime.combine(until, time(5)) - left
            status.update(f"{clock:%H:%M:%S} at Night School, {left.total_seconds():.0f} s to go")
            if left < timedelta(seconds=-90):
                sys.exit("pg_cron did not fire: check cron.job_run_details and the server's log")


def main() -> None:
    """Run the demo."""
    db = Database(os.environ.get("PGDATABASE", "postgres"))
    db.execute("set timezone = 'UTC'")

    chapter("1. A platform", "Six facilities in six time zones. Scheduled classes wait for their start date.")
    db.load_platform()
    db.execute((ROOT / "tests/sample.sql").read_text())
    show(
        db,
        """
        select f.name as facility, f.timezone,
          to_char(now() at time zone f.timezone, 'Dy HH24:MI') as local_time,
          count(*) as classes, count(*) filter (where c.status = 'Scheduled') as scheduled
        from facilities f
        join program_classes c on c.facility_id = f.id
        group by f.id
        order by f.id
        """,
    )

    chapter("2. Deploy", "The schedule is every minute instead of every 15 minutes, to shorten the wait.")
    console.print("[bold]alembic -x schedule='* * * * *' upgrade head[/]")
    deployment = alembic("upgrade", "head", database=db.name, x=["schedule=* * * * *"])
    console.print(deployment.stderr)
    if deployment.returncode != 0:
        sys.exit(deployment.returncode)
    show(db, "select jobname, schedule, command from cron.job")

    chapter("3. Look", "What a run would do now, and what comes next.")
    show(
        db,
        """
        select class_name, facility_name, start_dt, due_at, due, enrollments_to_backfill as to_backfill
        from class_activation.preview()
        """,
    )

    chapter(
        "4. By hand",
        "What a DBA types: it activates every class whose start date and hour have arrived at its facility.",
    )
    show(
        db,
        """
        select class_id, class_name, start_dt, due_at, enrollments_backfilled
        from activate_scheduled_classes()
        """,
    )
    console.print("A second call finds nothing to do.\n")
    show(db, "select * from activate_scheduled_classes()")

    chapter("5. By itself", "A class at a facility where it is almost 5 AM. pg_cron does the rest.")
    now = datetime.now(UTC)
    five = now.replace(second=0, microsecond=0) + timedelta(minutes=2 if now.second > 45 else 1)
    zone = posix_zone(timedelta(hours=5) - timedelta(hours=five.hour, minutes=five.minute))
    class_id = db.class_(db.facility(zone, name="Night School"), five.date(), name="Early Birds")
    for _ in range(3):
        db.enrollment(class_id)
    await_activation(db, five)
    show(
        db,
        f"""
        select class_name, facility_name, to_char(local_time, 'HH24:MI:SS.MS') as local_time,
          enrollments_backfilled, called_by
        from class_activation.history()
        where class_id = {class_id}
        """,
    )

    chapter("6. The log", "What did it do, and what comes next? A tick that finds nothing due leaves no row.")
    show(
        db,
        """
        select id, started_at, not_before::text, called_by, classes_activated, enrollments_backfilled
        from class_activation.runs
        order by id
        """,
    )

    show(
        db,
        """
        select class_name, facility_name, timezone, due_at,
          to_char(due_at at time zone timezone, 'Dy HH24:MI') as local_time,
          enrollments_to_backfill as residents
        from class_activation.preview()
        where not due
        """,
        limit=5,
    )

    chapter("7. A bad morning", "A time zone is misspelled: health() warns, and doctor() has the fix.")
    show(
        db,
        "update facilities set timezone = 'America/Anchorge' where name = 'Kenai' returning name, timezone",
    )
    show(
        db,
        """
        select status, overdue_classes, problem_classes, unknown_timezones, next_due_at, job_active
        from class_activation.health()
        """,
    )
    show(db, "select check_name, level, detail, fix from class_activation.doctor() where level <> 'ok'")


if __name__ == "__main__":
    main()
