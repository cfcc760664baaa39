-- A deployment also runs this query by itself, before the function exists.
create or replace function class_activation_internal.objects()
returns table (oid oid, kind text, name text, owner oid, acl aclitem[], definition text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
set quote_all_identifiers = off
as $function$
begin
  return query
  select n.oid, 'schema', format('schema %I', n.nspname), n.nspowner, n.nspacl, ''
  from pg_namespace n where n.nspname in ('class_activation', 'class_activation_internal')
  union all
  select p.oid, 'function', format('function %s', p.oid::regprocedure), p.proowner, p.proacl,
    md5(concat(pg_get_functiondef(p.oid), obj_description(p.oid, 'pg_proc')))
  from pg_proc p
  where p.prokind = 'f'
    and (p.pronamespace in (to_regnamespace('class_activation'), to_regnamespace('class_activation_internal'))
      or p.oid = to_regprocedure('public.activate_scheduled_classes(timestamptz, time, integer)'))
  union all
  select c.oid, k.kind, format('%s %s', k.kind, c.oid::regclass), c.relowner, c.relacl,
    (select md5(string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' order by a.attname))
     from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)
  from pg_class c
  cross join lateral (select case c.relkind when 'S' then 'sequence' else 'table' end) k (kind)
  where c.relnamespace in (to_regnamespace('class_activation'), to_regnamespace('class_activation_internal'))
    and c.relkind in ('r', 'v', 'm', 'S')
  union all
  select c.oid, 'comment', format('comments on %s', c.oid::regclass), c.relowner, null,
    md5(string_agg(d.description, ' | ' order by d.objsubid))
  from pg_class c
  join pg_description d on d.classoid = 'pg_class'::regclass and d.objoid = c.oid
  where c.relnamespace in (to_regnamespace('class_activation'), to_regnamespace('class_activation_internal'))
    or c.oid = to_regclass('public.class_activation_due_idx')
  group by c.oid, c.relowner
  union all
  -- of its table only the columns, because the platform may rename it
  select i.indexrelid, 'index', format('index %s', i.indexrelid::regclass), null, null,
    md5(concat(regexp_replace(pg_get_indexdef(i.indexrelid), ' ON (ONLY )?[^ ]+', ''), i.indisvalid))
  from pg_index i where i.indexrelid = to_regclass('public.class_activation_due_idx');
end;
$function$;
comment on function class_activation_internal.objects() is
'Part of doctor: the objects of class activation with owner, rights and a hash of their definition. A deployment
compares them before and after, and records them in class_activation.installed_objects; a removal drops them.';
