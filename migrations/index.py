"""Builds the index on the platform's table, which may take long, and says how far it is."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import psycopg
from alembic import context

from migrations.connections import connect
from migrations.options import read_options
from migrations.sql_files import gexec

PROGRESS_SECONDS = 10

PROGRESS = """
select p.phase, p.blocks_done + p.tuples_done, p.blocks_total + p.tuples_total,
  p.lockers_total - p.lockers_done
from pg_stat_progress_create_index p
where p.datname = current_database()
"""

log = logging.getLogger("alembic.class_activation")


def build(connection: psycopg.Connection | None = None) -> None:
    """Drop what a failed attempt has left, and build it; on CONNECTION, if given."""
    with nullcontext() if context.is_offline_mode() else progress():
        gexec("versions/0002_index", connection)


@contextmanager
def progress() -> Iterator[None]:
    """Log how far an index is that takes longer than a few seconds, from a session beside."""
    done = threading.Event()
    url = read_options().url

    def watch() -> None:
        while not done.wait(PROGRESS_SECONDS):
            with connect(url) as session:
                for phase, reached, total, lockers in session.execute(PROGRESS).fetchall():
                    log.info("Index: %s, %s of %s, waiting for %s sessions", phase, reached, total, lockers)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
