"""The options that a deployer passes with -x; the README documents them."""

import os
from dataclasses import dataclass

from alembic import context
from alembic.util import CommandError

OFF = "off"


@dataclass(frozen=True)
class Options:
    """Where to connect, and how to schedule the job."""

    # libpq connection string of the platform's database; empty: libpq's PG* variables
    url: str
    # cron expression in GMT, or OFF to leave pg_cron alone; None: keep it, initially every 15 minutes
    schedule: str | None = None
    # connection string of pg_cron's database, if that is another one
    cron_url: str | None = None


def read_options() -> Options:
    """Read the -x options of this command; an unknown one is refused, not ignored."""
    x = getattr(context.config.cmd_opts, "x", None) or []
    given = dict(option.partition("=")[::2] for option in x)
    known = Options.__dataclass_fields__
    if unknown := given.keys() - known:
        raise CommandError(f"unknown option -x {', '.join(sorted(unknown))}: there are {', '.join(known)}")
    return Options(**{"url": os.environ.get("DATABASE_URL", ""), **given})
