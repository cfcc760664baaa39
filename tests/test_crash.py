"""Crashes of the server during a run, and the next run."""

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from container import Container, container, needs_docker
from harness import OFF, Database, deploy, wait_until

CRASHES = 50
CLASSES = 1200
# about the time that "docker exec" takes to start
EXEC_SECONDS = 0.1


def kill_the_backend(server: Container, pid: int, seconds: float) -> None:
    witness = server.database()
    server.execute("bash", "-c", f"sleep {seconds}; kill -KILL {pid}")
    # the server ends all sessions then, and restarts
    with pytest.raises(psycopg.OperationalError):
        witness.execute("select pg_sleep(60)")


def stop_the_server(server: Container, _pid: int, seconds: float) -> None:
    server.execute("bash", "-c", f"sleep {seconds}; pg_ctl stop --mode=immediate")
    server.start()


def half_activated(db: Database) -> list[Any]:
    """Return the classes that have one trace of an activation and lack another."""
    return db.rows(
        """
        select c.id
        from public.program_classes c
        join public.program_class_enrollments e on e.class_id = c.id
        left join public.program_classes_history h on h.parent_ref_id = c.id
        left join class_activation.activations a on a.class_id = c.id
        left join class_activation.runs r on r.id = a.run_id
        group by c.id
        having num_nulls(
          nullif(max(c.status), 'Scheduled'), max(e.enrolled_at), max(h.id), max(a.run_id), max(r.finished_at)
        ) not in (0, 5)
          or count(e.enrolled_at) not in (0, count(*))
          or count(distinct h.id) > 1
          or count(distinct a.run_id) > 1
        """
    )


def plan_classes(db: Database, user: int) -> None:
    """Replace all classes by new ones that are due."""
    db.execute(
        "truncate public.program_classes, public.program_class_enrollments,"
        " public.program_classes_history, class_activation.activations, class_activation.runs"
    )
    db.due_classes(CLASSES)
    db.execute(
        "insert into public.program_class_enrollments (class_id, user_id, enrollment_status)"
        " select c.id, %s, 'Enrolled' from public.program_classes c, generate_series(1, 3)",
        user,
    )


def database(server: Container) -> Database | None:
    """Return the server's database, if it answers."""
    try:
        return server.database()
    except psycopg.OperationalError:
        return None


@needs_docker
@pytest.mark.parametrize("crash", [kill_the_backend, stop_the_server])
def test_a_crash_leaves_no_half_activated_class(crash: Callable[[Container, int, float], None]) -> None:
    interrupted = 0
    with container() as server, ThreadPoolExecutor(1) as threads:
        db = server.database()
        db.load_platform()
        user = db.resident()
        deploy("upgrade", "head", database=db.name, x=OFF, env=server.env)
        plan_classes(db, user)
        began = time.monotonic()
        db.run()
        run_seconds = time.monotonic() - began
        for _ in range(CRASHES):
            plan_classes(db, user)
            # any point of a run, and a little before and after it
            seconds = random.uniform(0, run_seconds)
            crashed = threads.submit(crash, server, db.connection.info.backend_pid, seconds)
            try:
                db.execute("select pg_sleep(%s)", EXEC_SECONDS)
                db.run()
            except psycopg.OperationalError:
                interrupted += 1
            crashed.result()

            db = wait_until(lambda: database(server))
            assert half_activated(db) == []
            db.run()
            assert db.value("select count(*) from public.program_classes where status = 'Scheduled'") == 0
    # a crash before the run or after it proves nothing
    assert interrupted > CRASHES / 10
