create or replace function class_activation.doctor_installation()
returns table (check_name text, level text, failure text, success text, fix text)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '10ms'
set jit = off
as $function$
declare
  v_owner constant regrole := (select n.nspowner::regrole from pg_namespace n where n.nspname = 'class_activation');
begin
  return query
  with object as materialized (
    select coalesce(i.name, o.name) as name, o.oid, o.kind, o.owner, o.acl, i.name is not null as installed,
      case
        when o.name is null then 'missing'
        when i.name is null then 'not of class activation'
        when i.definition is distinct from o.definition then 'changed'
      end as difference
    from class_activation.installed_objects i
    full join class_activation_internal.objects() o on o.name = i.name
  )
  select 'installation', case when bool_or(o.installed) then 'error' else 'warning' end,
    string_agg(format('%s: %s', o.difference, o.name), ', ' order by o.difference, o.name),
    'every object is there as it was installed',
    case
      when bool_or(o.installed and o.name ~ '^table') then 'restore the tables from a backup, then: alembic upgrade head'
      when bool_or(o.installed) then 'alembic upgrade head'
      else 'alter ... set schema, or drop what does not belong here'
    end
  from object o where o.difference is not null
  union all
  select 'ownership', 'error',
    format('not owned by %s, which owns schema class_activation: ', v_owner) || string_agg(o.name, ', ' order by o.name),
    'everything is owned by the owner of the schema',
    string_agg(format('alter %s owner to %s;', o.name, v_owner), ' ' order by o.name)
  from object o where o.kind in ('function', 'table') and o.installed and o.owner <> v_owner
  union all
  select 'grants', 'error',
    'every role may execute ' || string_agg(g.function, ', ' order by g.function) filter (where g.grantee = 0),
    'only the owner may execute what writes' || coalesce(', and ' || string_agg(
      format('%s: %s', g.grantee::regrole, g.function), ', ') filter (where g.grantee <> 0 and g.provolatile = 'v'), ''),
    string_agg(format('revoke execute on function %s from public;', g.function), ' ') filter (where g.grantee = 0)
  from (
    select p.oid::regprocedure::text as function, p.provolatile, a.grantee
    from object o
    join pg_proc p on p.oid = o.oid and o.kind = 'function'
    cross join aclexplode(coalesce(o.acl, acldefault('f', o.owner))) a
    where o.installed and a.grantee <> o.owner
  ) g
  union all
  select 'usage', 'error', case when not has_schema_privilege('public', 'class_activation', 'usage') then
      'not every role may use schema class_activation, so EXECUTE on a function is not enough' end,
    'EXECUTE on a function is all that a role needs', 'grant usage on schema class_activation to public;'
  union all
  -- pg_dump reads all tables and sequences, or none
  select 'backup', 'warning',
    'may read all tables of the platform, but not those of class activation, so its pg_dump fails: '
      || string_agg(r.name, ', ' order by r.name),
    'every role that may read all tables of the platform may also read those of class activation',
    string_agg(format('grant select on all tables in schema class_activation to %1$s;'
      || ' grant select on all sequences in schema class_activation to %1$s;', r.name), ' ')
  from (
    select a.grantee::regrole::text as name
    from pg_class c
    cross join aclexplode(c.relacl) a
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and a.grantee <> 0
    group by a.grantee
    having not exists (select from pg_class t where t.relnamespace = 'public'::regnamespace and t.relkind in ('r', 'p')
        and not has_table_privilege(a.grantee, t.oid, 'select'))
      and exists (select from object o where o.kind in ('table', 'sequence')
        and not has_table_privilege(a.grantee, o.oid, 'select'))
  ) r
  union all
  select 'overloads', 'error',
    'may be called in place of the job: ' || string_agg(p.oid::regprocedure::text, ', ' order by p.oid),
    'no other function has the name of the job',
    string_agg(format('alter function %s rename to not_of_class_activation;', p.oid::regprocedure), ' ')
  from pg_proc p
  where p.pronamespace = 'public'::regnamespace and p.proname = 'activate_scheduled_classes'
    and p.oid is distinct from to_regprocedure('public.activate_scheduled_classes(timestamptz, time, integer)')
  union all
  -- platform_sql does not take these for tables of the platform, because another role may have made them
  select 'planted', 'warning',
    'ignored, although named like a table of the platform: '
      || string_agg(format('public.%I of role %s', c.relname, c.relowner::regrole), ', ' order by c.relname),
    'nothing else is named like a table of the platform',
    string_agg(format('alter table public.%I rename to %I;', c.relname, c.relname || '_not_of_the_platform'), ' ')
      || ' -- once you know who made it and what for'
  from pg_class c
  where c.relnamespace = 'public'::regnamespace
    and c.relname in ('change_log_entries', 'facilities', 'program_class_cohorts', 'program_class_enrollments',
      'program_classes', 'program_classes_history', 'users')
    and (c.relkind not in ('r', 'p') or not pg_has_role(c.relowner, v_owner, 'usage'))
    -- with cohorts, the tier of classes may belong to another role
    and (c.relname <> 'program_classes' or c.relkind not in ('r', 'p') or exists (
      select from pg_attribute a where a.attrelid = c.oid and a.attname = 'status' and not a.attisdropped));
end;
$function$;
comment on function class_activation.doctor_installation() is
'Part of doctor: the installed objects, their owner, rights and names. It writes nothing.';
