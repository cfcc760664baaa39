create or replace function class_activation.objects()
returns table (name text, definition text)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set quote_all_identifiers = off
as $function$
begin
  return query
  select format('function %s', p.oid::regprocedure),
    md5(concat(pg_get_functiondef(p.oid), obj_description(p.oid, 'pg_proc')))
  from pg_proc p
  where p.prokind = 'f'
    and (
      p.pronamespace = 'class_activation'::regnamespace
      or p.oid = to_regprocedure('public.activate_scheduled_classes(timestamptz, time, integer)')
    )
  union all
  select format('table %s', c.oid::regclass), md5((
    select string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' order by a.attname)
    from pg_attribute a
    where a.attrelid = c.oid
      and a.attnum > 0
      and not a.attisdropped
  ))
  from pg_class c
  where c.relnamespace = 'class_activation'::regnamespace
    and c.relkind in ('r', 'v', 'm')
  union all
  select format('comments on %s', c.oid::regclass), md5(string_agg(d.description, ' | ' order by d.objsubid))
  from pg_class c
  join pg_description d on d.classoid = 'pg_class'::regclass and d.objoid = c.oid
  where c.relnamespace = 'class_activation'::regnamespace
    or c.oid = to_regclass('public.class_activation_due_idx')
  group by c.oid
  union all
  -- of its table only the columns, because the platform may rename it
  select format('index %s', i.indexrelid::regclass),
    md5(concat(regexp_replace(pg_get_indexdef(i.indexrelid), ' ON [^ ]+', ''), i.indisvalid))
  from pg_index i
  where i.indexrelid = to_regclass('public.class_activation_due_idx');
end;
$function$;

revoke execute on function class_activation.objects() from public;

comment on function class_activation.objects() is
'Part of doctor: what is there of class activation, with a hash of its definition. A deployment writes it down in
class_activation.installed_objects.';
