"""Repeatable migrations, beside the revisions of versions/: make the functions what sql/ says."""

import logging
from contextlib import AbstractContextManager, nullcontext

import psycopg
from alembic import context

from migrations import index
from migrations.sql_files import (
    SQL,
    application_path,
    driver_connection,
    execute,
    functions,
    run,
    signatures,
)

# everything of an object that a deployment sets
STATE = """
select format('function %s.%s', p.pronamespace::regnamespace, p.proname) as name,
  concat_ws(' | ', p.oid::regprocedure, pg_get_functiondef(p.oid), p.proowner::regrole, p.proacl,
    obj_description(p.oid, 'pg_proc')) as definition
from pg_proc p
where p.prokind = 'f'
  and (p.pronamespace = to_regnamespace('class_activation')
    or p.oid = to_regprocedure('public.activate_scheduled_classes(timestamptz, time, integer)'))
union all
select format('schema %s', n.nspname), concat_ws(' | ', n.nspowner::regrole, n.nspacl)
from pg_namespace n
where n.nspname = 'class_activation'
union all
select format('%s %s', case c.relkind when 'i' then 'index' else 'table' end, c.oid::regclass),
  concat_ws(' | ', c.relowner::regrole, c.relacl, (
    select string_agg(d.description, ' | ' order by d.objsubid)
    from pg_description d
    where d.objoid = c.oid and d.classoid = 'pg_class'::regclass
  ))
from pg_class c
where c.relnamespace = to_regnamespace('class_activation')
  or c.oid = to_regclass('public.class_activation_due_idx')
union all
select 'table class_activation.installed_objects', i::text
from class_activation.installed_objects i
union all
select 'table class_activation.settings', s::text
from class_activation.settings s
"""

DROP = """
insert into class_activation.installed_objects (name, acl)
select 'function {signature}', p.proacl from pg_catalog.pg_proc p
where p.oid operator(pg_catalog.=) '{signature}'::pg_catalog.regprocedure
on conflict (name) do update set acl = excluded.acl;
drop function {signature};
"""

log = logging.getLogger("alembic.class_activation")


def apply() -> None:
    """Create or replace every function; what is as it should be is not written."""
    if context.is_offline_mode():
        execute_all()
        return
    connection = driver_connection()
    with connection.transaction() as transaction:
        before = state(connection)
        execute_all()
        after = state(connection)
        if before == after:
            raise psycopg.Rollback(transaction)
    report({name for name, _ in before}, {name for name, _ in before ^ after}, {name for name, _ in after})


def execute_all() -> None:
    """Execute the files of sql/, and what belongs to their functions beside their definition."""
    with application_path():
        for signature, text in functions().items():
            try:
                with savepoint():
                    execute(text)
            except psycopg.errors.InvalidFunctionDefinition:
                # edited by hand so that it returns something else: deploy/finish grants its rights again
                execute(DROP.format(signature=signature))
                execute(text)
        execute((SQL / "tables.sql").read_text(encoding="utf-8"))
    run("deploy/finish", functions=signatures())


def function(signature: str) -> str:
    """Return the text of the file that defines the function."""
    return functions()[signature]


def savepoint() -> AbstractContextManager:
    """Return a savepoint; a script has none."""
    if context.is_offline_mode():
        return nullcontext()
    return driver_connection().transaction()


def state(connection: psycopg.Connection) -> set[tuple[str, str]]:
    """Return the name and the definition of each object."""
    return set(connection.execute(STATE).fetchall())


def report(before: set[str], changed: set[str], after: set[str]) -> None:
    """Log what was done, of a first installation only how much."""
    if not any(name.startswith("function ") for name in before):
        log.info("Installed %s functions", sum(name.startswith("function ") for name in after))
        return
    for name in sorted(changed):
        log.info("%s %s", "Replaced" if name in after else "Dropped", name)


def rebuild_index(connection: psycopg.Connection) -> None:
    """Build the index anew where it is missing or invalid, on a CONNECTION in autocommit mode."""
    installed, valid = connection.execute(
        "select to_regclass('class_activation.installed_objects') is not null, exists (select from pg_index"
        " where indexrelid = to_regclass('public.class_activation_due_idx') and indisvalid)"
    ).fetchone()
    if not installed or valid:
        return
    index.build(connection)
    log.info("Rebuilt index public.class_activation_due_idx")
