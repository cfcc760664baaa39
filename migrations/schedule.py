"""The job in pg_cron, in the platform's database or, with -x cron_url, in another one."""

from typing import Any

import psycopg
from alembic import context
from alembic.util import CommandError
from psycopg.rows import namedtuple_row

from migrations.connections import cron
from migrations.options import OFF, read_options
from migrations.sql_files import driver_connection, execute, literals, run

# who is connected to pg_cron's database, and what is missing there
WHO = """
select current_user as role, current_setting('is_superuser')::boolean as superuser,
  current_database() as database, e.extversion is not null as installed,
  array_remove(array[
    case when e.extversion is null then 'extension pg_cron (create extension pg_cron;)'
      when string_to_array(regexp_replace(e.extversion, '[^0-9.].*$', ''), '.')::integer[] < array[1, 4]
        then format('pg_cron 1.4 (it is %%s; alter extension pg_cron update;)', e.extversion)
      when p.oid is null then 'function cron.schedule_in_database (Neon has none: let the service put pg_cron'
        || ' into the database of the platform)' end,
    case when has_schema_privilege(n.oid, 'usage') is not true
      then format('usage (grant usage on schema cron to %%I;)', current_user) end,
    case when has_function_privilege(p.oid, 'execute') is false or e.extversion is null
      then format('execute (grant execute on function cron.schedule_in_database to %%I;)', current_user) end
  ], null) as missing
from (values ('pg_cron')) x (extname)
left join pg_extension e on e.extname = x.extname
left join pg_namespace n on n.nspname = 'cron' and e.extname is not null
left join pg_proc p on p.pronamespace = n.oid and p.proname = 'schedule_in_database'
"""

JOB = """
select j.*, current_database() as database, coalesce(%(schedule)s, s.schedule) as schedule
from class_activation.settings s, class_activation_internal.job(%(schedule)s) j
"""

# what the first tick will do
NEXT_TICK = """
select case count(p.class_id)
    when 0 then 'no class is due'
    when 1 then format('1 class is due and starts at the next tick%s; since %s', t.at, min(p.start_dt))
    else format('%s classes are due and start at the next tick%s; the oldest since %s',
      count(p.class_id), t.at, min(p.start_dt)) end
from (select to_char(j.next_tick_at at time zone 'UTC', ', HH24:MI "UTC"') as at
  from class_activation_internal.job() j) t
left join class_activation.preview() p on p.due
group by t.at
"""

REMEMBER = """
update class_activation.settings s
set schedule = n.schedule, job_username = n.username, cron_database = %(database)s,
  job_database = current_database(), scheduled_at = now()
from (select coalesce(%(schedule)s, schedule) as schedule, coalesce(%(username)s, job_username) as username
  from class_activation.settings) n
where (s.schedule, s.job_username, s.cron_database, s.job_database)
  is distinct from (n.schedule, n.username, %(database)s::name, current_database())
"""

# upgrades leave pg_cron alone if it has the job already
SCHEDULED = """
select from cron.job
where jobname = %(jobname)s and schedule = %(schedule)s and database = %(database)s
  and username = %(username)s and active and command = 'select class_activation.tick()'
"""


def set_up() -> list[str]:
    """Schedule the job as the options say, by default only once; return the report."""
    options = read_options()
    if options.schedule == OFF:
        execute("update class_activation.settings set scheduled_at = now() where scheduled_at is null;")
        return []
    if options.cron_url is not None:
        return schedule_elsewhere(options.schedule)
    if options.schedule is None:
        scheduled = (
            "select class_activation.schedule() from class_activation.settings where scheduled_at is null;"
        )
    else:
        scheduled = f"select class_activation.schedule({literals([options.schedule])});"
    if not execute(scheduled):
        return []
    ((next_tick,),) = execute(NEXT_TICK)
    return [f"job scheduled: {next_tick}"]


def find_missing(platform: psycopg.Connection) -> list[str]:
    """Return what scheduling lacks, for deploy/preflight to report; fail if no grant can help."""
    there = cron()
    if there is None:
        return []
    # the same instance, not a copy or one of the same name
    instance = "select system_identifier, pg_postmaster_start_time() from pg_control_system()"
    if there.execute(instance).fetchone() != platform.execute(instance).fetchone():
        raise CommandError(
            f"cron_url leads to database {there.info.dbname} of another server than the platform's\n"
            "HINT: Pass the database on the platform's server that has pg_cron."
        )
    who = fetch(there, WHO)
    missing = [f"in database {who.database} {part}" for part in who.missing]
    connects = "select has_database_privilege(%(role)s::name, current_database(), 'connect')"
    if not fetch(platform, connects, role=who.role)[0]:
        missing.append(f"connect (grant connect on database {platform.info.dbname} to {who.role};)")
    if not missing:
        require_own_job(platform, there)
    return missing


def require_own_job(platform: psycopg.Connection, there: psycopg.Connection) -> None:
    """Refuse to schedule on top of a job that the role of cron_url cannot see or change."""
    if not fetch(platform, "select to_regprocedure('class_activation_internal.job(text)') is not null")[0]:
        return
    who, job = fetch(there, WHO), find_job(platform)
    if who.superuser or job.created_by in (None, who.role) or is_scheduled(there, job):
        return
    hint = f"Repeat with role {job.created_by} or a superuser in cron_url."
    if job.role_is_gone:
        hint = "That role was renamed or dropped, and pg_cron's launcher crashes if it meets the job. Let a "
        hint += f"superuser run in database {who.database}: {job.remove} Then repeat. Or rename the role "
        hint += f"back: alter role {who.role} rename to {job.created_by};"
    raise CommandError(
        f"the pg_cron job belongs to role {job.created_by}, and role {who.role} cannot change it\n"
        f"HINT: Nothing was changed. {hint}"
    )


def remove() -> None:
    """Remove the job before its function; fail if it would be left behind."""
    if there := cron():
        platform = driver_connection()
        if not fetch(platform, "select current_setting('class_activation.trusted')::boolean")[0]:
            # left by a downgrade whose first attempt could not commit here
            left = "select cron.unschedule(jobid) from cron.job where jobname = %s and database = %s"
            there.execute(left, [f"activate_scheduled_classes@{platform.info.dbname}", platform.info.dbname])
            return
        who, job = fetch(there, WHO), find_job(platform)
        if job.elsewhere and who.database != job.cron_database:
            raise CommandError(f"the pg_cron job is in database {job.cron_database}, not in {who.database}")
        if job.elsewhere:
            if who.installed:
                require_own_job(platform, there)
                there.execute(job.remove)
            platform.execute("update class_activation.settings set cron_database = null, job_username = null")
    run("deploy/unschedule")


def schedule_elsewhere(schedule: str | None) -> list[str]:
    """Create or repair the job in pg_cron's database, which commits last; return the report."""
    if context.is_offline_mode():
        raise CommandError(
            "a script cannot run in two databases\nHINT: Pass -x schedule=off, then run in pg_cron's "
            "database the statements that class_activation.schedule() prints."
        )
    platform, there = driver_connection(), cron()
    require_own_job(platform, there)
    who, before = fetch(there, WHO), find_job(platform)
    if before.created_by is not None and not before.elsewhere:
        platform.execute("select class_activation.unschedule()")
    remember = {"schedule": schedule, "database": who.database}
    username = None if who.superuser or before.created_by else who.role
    if username:
        grant = "select format('grant execute on function class_activation.tick() to %%I', %(role)s::name)"
        platform.execute(fetch(platform, grant, role=username)[0])
    platform.execute(REMEMBER, {**remember, "username": username})
    job = find_job(platform)
    platform.execute(REMEMBER, {**remember, "username": job.username})
    if is_scheduled(there, job):
        return []
    if before.elsewhere:
        there.execute(before.clear)
    there.execute(job.clear)
    there.execute(job.put)
    ((next_tick,),) = execute(NEXT_TICK)
    return [f"job {job.jobname} scheduled in database {who.database}: {next_tick}"]


def find_job(platform: psycopg.Connection) -> Any:
    """Return class_activation_internal.job(), with the schedule of the options."""
    return fetch(platform, JOB, schedule=read_options().schedule)


def is_scheduled(there: psycopg.Connection, job: Any) -> bool:
    """Tell whether the job in pg_cron is as it should be."""
    return fetch(there, SCHEDULED, **job._asdict()) is not None


def fetch(connection: psycopg.Connection, sql: str, **parameters: Any) -> Any:
    """Return the first row of a query, with names."""
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        return cursor.execute(sql, parameters).fetchone()
