"""Callers of the job and editors of the platform, all at once, for a while."""

import random
import time
from concurrent.futures import ThreadPoolExecutor

from harness import BATCH_USER, Database

SECONDS = 20
CALLERS = 8
EDITORS = 8
CLASSES = 160


def call(db: Database, until: float) -> int:
    """Call the job again and again; return how often."""
    session, calls = db.connect(), 0
    while time.monotonic() < until:
        arguments = random.choice(
            ["", "p_max_classes => 1", "p_max_classes => 20", "p_not_before => '05:00'"]
        )
        session.execute(f"select public.activate_scheduled_classes({arguments})")
        calls += 1
    return calls


def edit(db: Database, until: float, classes: list[int], users: list[int]) -> int:
    """Do what staff do, in transactions of several statements; return how many there were.

    Nobody else edits these classes, so whatever fails fails for the job's sake.
    """
    session, transactions = db.connect(autocommit=False), 0
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
            session.execute(statement, values)
            if random.random() < 0.1:
                session.execute("select pg_sleep(random() * 0.4)")
        session.rollback() if random.random() < 0.1 else session.commit()
        transactions += 1
    return transactions


def test_in_a_storm_nothing_is_lost_nothing_is_done_twice_and_nobody_fails(db: Database) -> None:
    facility, program = db.facility(), db.program()
    classes = [db.class_(facility, program_id=program) for _ in range(CLASSES)]
    users = [db.resident() for _ in range(20)]
    until = time.monotonic() + SECONDS

    with ThreadPoolExecutor(CALLERS + EDITORS) as threads:
        callers = [threads.submit(call, db, until) for _ in range(CALLERS)]
        editors = [threads.submit(edit, db, until, classes[i::EDITORS], users) for i in range(EDITORS)]
        done = [future.result() for future in callers + editors]
    assert min(done) > 0

    # one history row for each activation, and none of anything but a Scheduled class
    activations = {
        row.class_id: row.count
        for row in db.rows("select class_id, count(*) from class_activation.activations group by class_id")
    }
    history = {
        row.class_id: row.count
        for row in db.rows(
            """
            select parent_ref_id as class_id, count(*)
            from public.program_classes_history
            where before_update ->> 'status' = 'Scheduled' and after_update ->> 'status' = 'Active'
            group by parent_ref_id
            """
        )
    }
    assert activations == history
    assert sum(activations.values()) > CLASSES
    wrong = (
        "after_update ->> 'status' = 'Active' and before_update ->> 'status' not in ('Scheduled', 'Active')"
    )
    assert db.rows(f"select * from public.program_classes_history where {wrong}") == []

    # one more run, and nobody is forgotten
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
