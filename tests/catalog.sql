-- Every object of a database with owner, grants, definition and comment: two ways of installing must give the same.
with installed (oid) as (
  select n.oid from pg_namespace n where n.nspname !~ '^(pg_|information_schema$|cron$)'
)
select 'schema' as kind, n.nspname::text as name,
  concat_ws(' | ', n.nspowner::regrole, n.nspacl, obj_description(n.oid, 'pg_namespace')) as definition
from pg_namespace n
join installed using (oid)
union all
select 'relation ' || c.relkind::text, c.oid::regclass::text,
  concat_ws(' | ', c.relowner::regrole, c.relacl, pg_get_indexdef(i.indexrelid), i.indisvalid,
    obj_description(c.oid, 'pg_class'))
from pg_class c
join installed n on n.oid = c.relnamespace
left join pg_index i on i.indexrelid = c.oid
union all
select 'column', format('%s.%s', a.attrelid::regclass, a.attname),
  concat_ws(' | ', a.attnum, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
    pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum))
from pg_attribute a
join pg_class c on c.oid = a.attrelid
join installed n on n.oid = c.relnamespace
left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attnum > 0 and not a.attisdropped
union all
select 'constraint', format('%s.%s', r.conrelid::regclass, r.conname), pg_get_constraintdef(r.oid)
from pg_constraint r
join installed n on n.oid = r.connamespace
where r.contype <> 'n'  -- a column that is not null says so itself
union all
select 'function', p.oid::regprocedure::text,
  concat_ws(' | ', p.proowner::regrole, p.proacl, p.proconfig, md5(p.prosrc), case when p.prokind <> 'a' then pg_get_functiondef(p.oid) end,
    obj_description(p.oid, 'pg_proc'))
from pg_proc p
join installed n on n.oid = p.pronamespace
union all
select 'trigger', format('%s.%s', t.tgrelid::regclass, t.tgname), pg_get_triggerdef(t.oid)
from pg_trigger t
join pg_class c on c.oid = t.tgrelid
join installed n on n.oid = c.relnamespace
where not t.tgisinternal
union all
select 'type', y.oid::regtype::text,
  concat_ws(' | ', y.typowner::regrole, y.typtype, (
    select string_agg(e.enumlabel, ',' order by e.enumsortorder) from pg_enum e where e.enumtypid = y.oid
  ))
from pg_type y
join installed n on n.oid = y.typnamespace
union all
select 'extension', x.extname, x.extversion from pg_extension x
order by 1, 2
