"""Housekeeping, and what must not disturb a run."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from harness import COMMAND, Database, deploy

AS_OF = "2026-03-02 12:00Z"


@pytest.fixture
def scheduled(cron: Database) -> Database:
    """A database in which all is well, with the job in pg_cron."""
    deploy("upgrade", "head", database=cron.name)
    cron.run()
    assert cron.health().status == "ok"
    return cron


@contextmanager
def open_transaction(db: Database, statement: str) -> Iterator[None]:
    """Another session that has run the statement and not committed; it rolls back at the end."""
    session = db.connect(autocommit=False)
    session.execute(statement)
    try:
        yield
    finally:
        session.close()


def test_housekeeping_removes_what_pg_cron_logged_of_the_jobs_more_than_a_week_ago(
    cron: Database,
) -> None:
    deploy("upgrade", "head", database=cron.name)
    of_ours, of_another = (cron.name, COMMAND), (cron.name, "select 1")
    elsewhere = ("another_database", COMMAND)
    # in the order of time; the jobid may be that of a job that is no more, and a run may have no time
    log = [
        (of_another, 9),
        (of_ours, 9),
        (elsewhere, 9),
        (of_ours, None),
        (of_ours, 8),
        (of_ours, 6),
        (of_ours, None),
    ]
    for run_id, ((database, command), days) in enumerate(log, start=-len(log)):
        cron.execute(
            "insert into cron.job_run_details (jobid, runid, database, command, status, start_time)"
            " values (-1, %s, %s, %s, 'succeeded', now() - make_interval(days => %s))",
            run_id,
            database,
            command,
            days,
        )

    cron.execute("insert into class_activation.ticks values (now() - interval '9 days')")
    cron.execute(COMMAND)

    kept = cron.rows("delete from cron.job_run_details where runid < 0 returning runid")
    assert [log[row.runid] for row in kept] == [
        (of_another, 9),
        (elsewhere, 9),
        (of_ours, 6),
        (of_ours, None),
    ]


@pytest.mark.parametrize("lock", ["access exclusive", "exclusive", "an open delete"])
def test_a_lock_on_the_log_of_pg_cron_does_not_delay_a_run(scheduled: Database, lock: str) -> None:
    class_id = scheduled.class_()
    enrollment = scheduled.enrollment(class_id)
    scheduled.execute(
        "insert into cron.job_run_details (jobid, runid, database, command, status, start_time)"
        " values (-1, -1, current_database(), %s, 'succeeded', now() - interval '9 days')",
        COMMAND,
    )
    caller = scheduled.connect()
    caller.execute("set statement_timeout = '10s'")
    statement = f"lock table cron.job_run_details in {lock} mode"
    if lock == "an open delete":
        statement = "delete from cron.job_run_details where runid = -1"

    with open_transaction(scheduled, statement):
        caller.execute(COMMAND)
        assert scheduled.status(class_id) == "Active"
        assert scheduled.enrolled_at(enrollment) is not None
        # nothing is due: housekeeping gives up soon, and the tick is recorded
        caller.execute("insert into class_activation.ticks values (now() - interval '9 days')")
        caller.execute(COMMAND)
    assert scheduled.value("select count(*) from class_activation.ticks") == 2
    assert scheduled.value("select count(*) from cron.job_run_details where runid = -1") == 1
    scheduled.execute("insert into class_activation.ticks values (now() - interval '9 days')")
    scheduled.execute(COMMAND)
    assert scheduled.value("select count(*) from cron.job_run_details where runid = -1") == 0


@pytest.mark.parametrize(
    "setting", ["row_security = off", "lock_timeout = '1ms'", "client_min_messages = error"]
)
def test_settings_of_the_session_do_not_undo_a_run(scheduled: Database, setting: str) -> None:
    class_id = scheduled.class_()
    session = scheduled.connect()
    session.execute(f"set {setting}")

    session.execute(COMMAND)

    assert scheduled.status(class_id) == "Active"
    assert session.execute("select job_active from class_activation.health()").fetchone() == (True,)
