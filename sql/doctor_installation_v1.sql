-- The part of doctor that looks at what is ours in the catalog. It needs no rights.
create function class_activation.doctor_installation()
returns table (check_name text, level text, trouble text, otherwise text, fix text)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
  v_owner constant oid := (select c.relowner from pg_class c where c.oid = to_regclass('public.program_classes'));
begin
  return query
  select 'index', 'error',
    case
      when i.indexrelid is null then 'public.class_activation_due_idx is missing: each run reads all classes'
      when not i.indisvalid then 'public.class_activation_due_idx is invalid: each run reads all classes'
    end,
    'public.class_activation_due_idx is there and valid',
    case
      when i.indexrelid is null then
        'create index concurrently class_activation_due_idx on public.program_classes (status, start_dt);'
      else 'reindex index concurrently public.class_activation_due_idx;'
    end
  from (values (to_regclass('public.class_activation_due_idx'))) x (oid)
  left join pg_index i on i.indexrelid = x.oid;

  return query
  with ours (name, owner) as (
    select format('function %s', p.oid::regprocedure), p.proowner
    from pg_proc p
    where p.pronamespace = 'class_activation'::regnamespace
      or p.oid = to_regprocedure('public.activate_scheduled_classes(timestamptz, time, integer)')
    union all
    select format('table %s', c.oid::regclass), c.relowner
    from pg_class c
    where c.relnamespace = 'class_activation'::regnamespace
      and c.relkind = 'r'
    union all
    select 'schema class_activation', n.nspowner
    from pg_namespace n
    where n.nspname = 'class_activation'
  )
  select 'ownership', 'error',
    'not owned by the owner of public.program_classes: ' || string_agg(o.name, ', ' order by o.name),
    'all is owned by the owner of public.program_classes',
    string_agg(format('alter %s owner to %s;', o.name, v_owner::regrole), ' ' order by o.name)
  from ours o
  where o.owner <> v_owner;

  return query
  select 'grants', 'error', 'everybody may execute ' || string_agg(p.oid::regprocedure::text, ', ' order by p.oid),
    'nobody may execute our functions but the owner and whom he lets',
    string_agg(format('revoke execute on function %s from public;', p.oid::regprocedure), ' ' order by p.oid)
  from pg_proc p
  cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
  where (p.pronamespace = 'class_activation'::regnamespace
      or p.oid = to_regprocedure('public.activate_scheduled_classes(timestamptz, time, integer)'))
    and a.grantee = 0
    and a.privilege_type = 'EXECUTE';

  -- pg_cron's command passes '05:00' without a type, for which a planted (p_not_before text) fits better
  return query
  select 'overloads', 'error',
    'may be called instead of ours: ' || string_agg(p.oid::regprocedure::text, ', ' order by p.oid),
    'no other function has the name of the job',
    string_agg(format('alter function %s rename to not_of_class_activation;', p.oid::regprocedure), ' ')
  from pg_proc p
  where p.pronamespace = 'public'::regnamespace
    and p.proname = 'activate_scheduled_classes'
    and p.oid is distinct from to_regprocedure('public.activate_scheduled_classes(timestamptz, time, integer)');
end;
$function$;

revoke execute on function class_activation.doctor_installation() from public;

comment on function class_activation.doctor_installation() is
'Part of class_activation.doctor(): index, owners, grants and names.';
