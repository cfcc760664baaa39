"""Callers, editors, migrations of the platform and a deployer, all at once, for 35 seconds."""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psycopg
import pytest
from harness import BATCH_USER, Database, deploy, finished, start_alembic

SECONDS = 35
CALLERS = 8
EDITORS = 8
CLASSES = 160
# longer than any lock_timeout, shorter than a wait without one
LONGEST_WAIT = 15


def call(db: Database, until: float) -> float:
    """Call the job again and again; return how long the longest call took."""
    session, longest = db.connect(), 0.0
    while time.monotonic() < until:
        arguments = random.choice(["", "p_max_classes => 1", "p_not_before => '05:00'"])
        began = time.monotonic()
        try:
            session.execute(f"select public.activate_scheduled_classes({arguments})")
        except psycopg.errors.LockNotAvailable as error:
            # the migrations held or awaited a table for 2 s without a gap: the next call is the next tick
            if "a table of the platform is locked" not in str(error):
                raise
        longest = max(longest, time.monotonic() - began)
    return longest


def edit(db: Database, until: float, classes: list[int], users: list[int]) -> float:
    """Do what staff do, in transactions of several statements; return how long the longest statement took.

    No other session edits these classes, so whatever fails or waits does so for the sake of the job or of a
    migration.
    """
    session, longest = db.connect(autocommit=False, prepare_threshold=None), 0.0
    enroll = (
        "insert into public.program_class_enrollments (class_id, user_id, enrollment_status, enrolled_at)"
        " select c.id, %(user)s, 'Enrolled', case when c.status = 'Active' then now() end"
        " from public.program_classes c where c.id = %(class)s"
    )
    withdraw = (
        "update public.program_class_enrollments set enrollment_status = 'Incomplete: Withdrawn'"
        " where id = (select max(id) from public.program_class_enrollments where class_id = %(class)s)"
    )
    cancel = "update public.program_classes set status = 'Cancelled' where id = %(class)s"
    plan = (
        "update public.program_classes set status = 'Scheduled', start_dt = current_date - 2"
        " where id = %(class)s"
    )
    postpone = "update public.program_classes set start_dt = current_date + 9 where id = %(class)s"
    while time.monotonic() < until:
        values = {"class": random.choice(classes), "user": random.choice(users)}
        for statement in random.choices([enroll, enroll, withdraw, cancel, plan, plan, postpone], k=3):
            began = time.monotonic()
            session.execute(statement, values)
            longest = max(longest, time.monotonic() - began)
            if random.random() < 0.1:
                session.execute("select pg_sleep(random() * 0.4)")
        session.rollback() if random.random() < 0.1 else session.commit()
    return longest


def migrate_the_platform(db: Database, until: float) -> int:
    """Change the platform's tables again and again, as its next migrations would; return how often."""
    session, migrations = db.connect(), 0
    session.execute("set lock_timeout = '1s'")
    while time.monotonic() < until:
        for statement in (
            "alter table public.program_classes add column room varchar(255)",
            "alter table public.program_classes alter column room type text",
            "alter table public.program_class_enrollments alter column change_reason type varchar(300)",
            "alter table public.program_class_enrollments alter column change_reason type varchar(255)",
            "alter table public.program_classes drop column room",
        ):
            while True:
                try:
                    session.execute(statement)
                except psycopg.errors.LockNotAvailable:
                    continue
                break
            session.execute("select pg_sleep(0.5)")
        migrations += 1
    return migrations


def redeploy(db: Database, until: float) -> int:
    """Drop a function and the index, and let an upgrade restore them; return how often that succeeded."""
    session, deployments = db.connect(), 0
    session.execute("set lock_timeout = '1s'")
    while time.monotonic() < until:
        session.execute("drop function if exists class_activation.release(integer)")
        with suppress(psycopg.errors.LockNotAvailable):
            session.execute("drop index if exists public.class_activation_due_idx")
        up = finished(start_alembic("upgrade", "head", database=db.name, x=["schedule=off"]))
        assert up.returncode == 0 or "SQLSTATE 55P03" in up.stderr, up.stderr
        deployments += up.returncode == 0
    return deployments


@pytest.mark.slow
def test_a_storm_loses_nothing_and_repeats_nothing(db: Database) -> None:
    facility, program = db.facility(), db.program()
    classes = [db.class_(facility, program_id=program) for _ in range(CLASSES)]
    users = [db.resident() for _ in range(20)]
    until = time.monotonic() + SECONDS

    with ThreadPoolExecutor(CALLERS + EDITORS + 2) as threads:
        sessions = [threads.submit(call, db, until) for _ in range(CALLERS)] + [
            threads.submit(edit, db, until, classes[i::EDITORS], users) for i in range(EDITORS)
        ]
        migrations = threads.submit(migrate_the_platform, db, until)
        deployments = threads.submit(redeploy, db, until)
        waits = [session.result() for session in sessions]
    assert migrations.result() > 1
    assert deployments.result() > 1
    assert max(waits) < LONGEST_WAIT
    deploy("upgrade", "head", database=db.name, x=["schedule=off"])

    # one history row for each activation, and none of anything but a Scheduled class
    counts = "select {}, count(*) from {} group by 1 order by 1"
    changes = "public.program_classes_history where after_update ->> 'status' = 'Active'"
    changes += " and before_update ->> 'status'"
    activations = db.rows(counts.format("class_id", "class_activation.activations"))
    assert activations == db.rows(counts.format("parent_ref_id", f"{changes} = 'Scheduled'"))
    assert sum(row.count for row in activations) > CLASSES
    assert db.rows(f"select * from {changes} not in ('Scheduled', 'Active')") == []

    # one more run, and none is forgotten
    db.run()
    forgotten = db.rows(
        """
        select e.*
        from public.program_class_enrollments e
        join public.program_classes c on c.id = e.class_id and c.status = 'Active'
        where e.enrollment_status = 'Enrolled' and e.enrolled_at is null
        """
    )
    assert forgotten == []
    assert db.rows("select * from class_activation.problems") == []
    authors = db.rows("select distinct update_user_id as id from public.program_class_enrollments")
    assert {author.id for author in authors} <= {BATCH_USER, None}
