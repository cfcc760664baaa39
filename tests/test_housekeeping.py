"""Housekeeping: ticks, runs and pg_cron's log are pruned, and no run is disturbed."""

import pytest
from harness import COMMAND, Database


@pytest.mark.parametrize("lock", [None, "access exclusive", "exclusive", "an open delete"])
def test_housekeeping_happens_once_a_day_and_never_undoes_a_tick(
    scheduled: Database, lock: str | None
) -> None:
    for table, column, first, values in (
        ("ticks", "ticked_at", 6, ""),
        ("runs", "started_at, as_of, not_before, called_by", 89, ", now(), '05:00', 'x'"),
        (
            "activations",
            "activated_at, run_id, class_id, facility_id, due_at, enrollments_backfilled",
            3650,
            ", i, i, 1, now(), 0",
        ),
    ):
        scheduled.execute(
            f"insert into class_activation.{table} ({column})"
            f" select now() - make_interval(days => i){values} from generate_series({first}, {first + 3}) i"
        )
    # in the order of time; the jobid may be that of a job that is gone, and a run may have no time
    log = [("select 1", 9), (COMMAND, 9), (COMMAND, None), (COMMAND, 8), (COMMAND, 6), (COMMAND, None)]
    for run_id, (command, days) in enumerate(log, start=-len(log)):
        scheduled.execute(
            "insert into cron.job_run_details (jobid, runid, database, command, status, start_time)"
            " values (-1, %s, current_database(), %s, 'succeeded', now() - make_interval(days => %s))",
            run_id,
            command,
            days,
        )
    other = scheduled.connect(autocommit=False)
    if lock == "an open delete":
        other.execute("delete from cron.job_run_details where runid < 0")
    elif lock:
        other.execute(f"lock table cron.job_run_details in {lock} mode")
    due = scheduled.class_()

    # not while classes start
    assert scheduled.value(COMMAND) == 1
    assert scheduled.status(due) == "Active"
    assert scheduled.value("select count(*) from class_activation.ticks") == 5
    with scheduled.connection.transaction():
        assert scheduled.value(COMMAND) == 0
        assert scheduled.value("show lock_timeout") == "0"
    other.rollback()
    old_ticks = "select count(*) from class_activation.ticks where ticked_at < now() - interval '1 day'"
    assert scheduled.value(old_ticks) == 1
    assert scheduled.value("select count(*) from class_activation.runs where called_by = 'x'") == 1
    assert scheduled.value("select count(*) from class_activation.activations") == 5
    kept = scheduled.rows("delete from cron.job_run_details where runid < 0 returning runid")
    assert len(kept) == (6 if lock else 3)

    # not again before the oldest tick is 8 days old
    scheduled.execute("insert into class_activation.ticks values (now() - interval '7 days 12 hours')")
    assert scheduled.value(COMMAND) == 0
    assert scheduled.value(old_ticks) == 2
