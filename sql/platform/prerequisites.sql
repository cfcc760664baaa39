-- The job's requirements in one list, for the doctor; a deployment runs the query before the function exists.
create or replace function class_activation.prerequisites()
returns setof text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $function$
begin
  return query
  with carrier as (
    -- enrollments refer to the platform's table, and not to one that another role has planted
    select c.oid, c.relname::text as name, c.relowner, exists (select from pg_constraint k where k.contype = 'f'
      and k.confrelid = c.oid and k.conrelid = to_regclass('public.program_class_enrollments')) as referenced
    from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attname = 'status' and not a.attisdropped
    where c.oid in (to_regclass('public.program_classes'), to_regclass('public.program_class_cohorts'))
      and c.relkind in ('r', 'p')
  ), tables_owner (owner) as (
    select case
        when count(*) filter (where c.referenced) = 1 then max(c.relowner) filter (where c.referenced)
        when count(*) = 1 then max(c.relowner)
      end
    from carrier c
  ), job as materialized (
    -- the role that the job trusts: once installed, the owner of its schema
    select coalesce((select n.nspowner from pg_namespace n where n.nspname = 'class_activation'), t.owner) as owner
    from tables_owner t
  ), shape as materialized (
    select coalesce(min(c.name), 'program_classes') as classes, count(c.oid) as carriers,
      coalesce(min(c.name) = 'program_class_cohorts', false) as cohorts
    from job j
    join carrier c on pg_has_role(c.relowner, j.owner, 'usage')
  ), needed as (
    select n.*
    from shape s
    cross join lateral (values
      ('facilities', 'select', 'id integer, name text, timezone text, deleted_at'),
      ('users', 'select', 'id integer, username text, deleted_at'),
      -- early versions of the platform have the status as text
      (s.classes, 'select, update', 'id integer, facility_id integer, status enum or text, start_dt date, archived_at,'
        ' deleted_at, updated_at timestamp with time zone, update_user_id integer'),
      (case when s.cohorts then s.classes end, 'select', 'class_id integer'),
      ('program_classes', 'select', 'id integer, name text'),
      ('program_class_enrollments', 'select, update', case when s.cohorts then 'cohort_id' else 'class_id' end
        || ' integer, id integer, enrollment_status enum or text, enrolled_at timestamp with time zone, deleted_at,'
        ' updated_at timestamp with time zone, update_user_id integer'),
      ('program_classes_history', 'select', 'id integer or bigint, parent_ref_id integer or bigint, table_name text,'
        ' before_update json, after_update json, created_at timestamp with time zone'),
      -- since the platform's migration 49; optional
      ('change_log_entries', 'insert', 'table_name text, parent_ref_id integer or bigint, field_name text,'
        ' old_value text, new_value text, created_at timestamp with time zone, user_id integer or bigint')
    ) n (table_name, privileges, columns)
  ), needed_column as (
    select n.table_name, split_part(c.text, ' ', 1) as column_name, substr(c.text, strpos(c.text, ' ') + 1) as type
    from needed n
    cross join regexp_split_to_table(n.columns, ', ') c (text)
  ), needed_table as materialized (
    select t.table_name, c.oid, c.relowner, c.relkind, c.relrowsecurity, c.relforcerowsecurity,
      coalesce(c.relkind in ('r', 'p') and pg_has_role(c.relowner, j.owner, 'usage'), false) as trusted
    from (select distinct n.table_name from needed n where n.table_name is not null) t
    cross join job j
    left join pg_class c on c.oid = to_regclass('public.' || t.table_name)
  ), used_table as materialized (
    -- an untrusted change log is ignored
    select t.* from needed_table t where t.trusted or t.table_name <> 'change_log_entries'
  ), missing (position, description) as (
    select 1, format(case when t.oid is null then 'table public.%s' else 'public.%s as a table' end, t.table_name)
    from used_table t
    where coalesce(t.relkind, '') not in ('r', 'p')
    union all
    select 2, format('column public.%s.%s', n.table_name, n.column_name)
      || case when a.attname is null then '' else format(' as %s (it is %s)', n.type, format_type(a.atttypid, a.atttypmod)) end
    from needed_column n
    join used_table t on t.table_name = n.table_name and t.relkind in ('r', 'p')
    left join pg_attribute a on a.attrelid = t.oid and a.attname = n.column_name and not a.attisdropped
    left join pg_type y on y.oid = a.atttypid
    -- the base type of a domain
    left join pg_type b on b.oid = coalesce(nullif(y.typbasetype, 0), y.oid)
    where a.attname is null
      or not case n.type
        when 'text' then y.typcategory = 'S'
        when 'enum or text' then y.typcategory in ('E', 'S')
        when 'integer' then b.typname in ('int2', 'int4')
        when 'integer or bigint' then b.typname in ('int2', 'int4', 'int8')
        when 'date' then b.typname = 'date'
        when 'timestamp with time zone' then b.typname = 'timestamptz'
        when 'json' then b.typname in ('json', 'jsonb')
        else n.type = n.column_name  -- any type
      end
    union all
    select 2, 'one table with the status: public.program_classes and public.program_class_cohorts both have a column status'
    from shape s
    where s.carriers > 1
    union all
    select 3, format('label %L of type %s', l.label, format_type(b.oid, null))
    from used_table t
    join shape s on s.classes = t.table_name
    join pg_attribute a on a.attrelid = t.oid and a.attname = 'status'
    join pg_type y on y.oid = a.atttypid
    join pg_type b on b.oid = coalesce(nullif(y.typbasetype, 0), y.oid) and b.typtype = 'e'
    cross join (values ('Scheduled'), ('Active')) l (label)
    where not exists (select from pg_enum e where e.enumtypid = b.oid and e.enumlabel = l.label)
    union all
    select 4, format('ownership of public.%s by role %s, one of its members, or a superuser (its owner is %s)',
      t.table_name, j.owner::regrole, t.relowner::regrole)
    from used_table t
    cross join job j
    cross join shape s
    where t.relkind in ('r', 'p')
      and not t.trusted and j.owner is not null
      -- the tier above the cohorts is read for names only
      and not (s.cohorts and t.table_name = 'program_classes')
    union all
    select 5, format('right of role %s to %s public.%s', j.owner::regrole, r.privilege, t.table_name)
    from needed n
    cross join regexp_split_to_table(n.privileges, ', ') r (privilege)
    join used_table t on t.table_name = n.table_name
    cross join job j
    where not has_table_privilege(j.owner, t.oid, r.privilege)
    union all
    select 5, format('right of role %s to use sequence %s', j.owner::regrole, q.name)
    from used_table t
    cross join job j
    cross join lateral (select pg_get_serial_sequence(t.oid::regclass::text, 'id') as name) q
    where t.table_name = 'change_log_entries'
      and not has_sequence_privilege(j.owner, q.name, 'usage')
    union all
    -- only the role itself can tell whether it bypasses row security
    select 6, format('rows of public.%s, to which row security applies for role %s', t.table_name, j.owner::regrole)
    from used_table t
    cross join job j
    where t.relrowsecurity
      and case
        when pg_get_userbyid(j.owner) = current_user then row_security_active(t.oid)
        else (t.relforcerowsecurity or not pg_has_role(j.owner, t.relowner, 'usage'))
          and not has_table_privilege(j.owner, 'pg_authid', 'insert')
      end
  )
  -- a table may be listed twice above
  select m.description from missing m group by m.position, m.description order by m.position, m.description;
end;
$function$;
comment on function class_activation.prerequisites() is
'The job''s requirements that the platform, in its present shape, does not meet: trusted tables, columns of a suitable
type, labels of the status, rights of the owner, and rows not hidden by row security. No row if all are met.';
