"""Housekeeping, and what must not disturb a run."""

import pytest
from harness import COMMAND, Database, deploy


@pytest.fixture
def scheduled(cron: Database) -> Database:
    """A database in which all is well, with the job in pg_cron."""
    deploy("upgrade", "head", database=cron.name)
    cron.run()
    assert cron.health().status == "ok"
    return cron


@pytest.mark.parametrize("lock", [None, "access exclusive", "exclusive", "an open delete"])
def test_housekeeping_happens_once_a_day_and_never_undoes_a_tick(cron: Database, lock: str | None) -> None:
    deploy("upgrade", "head", database=cron.name)
    cron.execute(
        "insert into class_activation.ticks"
        " select now() - make_interval(days => i) from generate_series(6, 9) i"
    )
    cron.execute(
        "insert into class_activation.runs (started_at, as_of, not_before, called_by)"
        " select now() - make_interval(days => i), now(), '05:00', 'x' from generate_series(89, 92) i"
    )
    # in the order of time; the jobid may be that of a job that is gone, and a run may have no time
    log = [("select 1", 9), (COMMAND, 9), (COMMAND, None), (COMMAND, 8), (COMMAND, 6), (COMMAND, None)]
    for run_id, (command, days) in enumerate(log, start=-len(log)):
        cron.execute(
            "insert into cron.job_run_details (jobid, runid, database, command, status, start_time)"
            " values (-1, %s, current_database(), %s, 'succeeded', now() - make_interval(days => %s))",
            run_id,
            command,
            days,
        )
    other = cron.connect(autocommit=False)
    if lock == "an open delete":
        other.execute("delete from cron.job_run_details where runid < 0")
    elif lock:
        other.execute(f"lock table cron.job_run_details in {lock} mode")
    due = cron.class_()

    # not while classes start
    assert cron.value(COMMAND) == 1
    assert cron.status(due) == "Active"
    assert cron.value("select count(*) from class_activation.ticks") == 5
    assert cron.value(COMMAND) == 0
    other.rollback()
    assert (
        cron.value("select count(*) from class_activation.ticks where ticked_at < now() - interval '1 day'")
        == 1
    )
    assert cron.value("select count(*) from class_activation.runs where called_by = 'x'") == 1
    kept = cron.rows("delete from cron.job_run_details where runid < 0 returning runid")
    assert len(kept) == (6 if lock else 3)


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
