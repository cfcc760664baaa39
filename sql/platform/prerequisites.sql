-- All that the job needs of the platform, in one list: the doctor asks this function, and a deployment runs its
-- query before the function exists.
create or replace function class_activation.prerequisites()
returns setof text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set quote_all_identifiers = off
as $function$
begin
  return query
  with carrier as (
    -- the tables that may carry the status; a table that another role has planted is not the one that enrollments
    -- refer to
    select c.oid, c.relname::text as name, c.relowner, exists (
        select
        from pg_constraint k
        where k.contype = 'f'
          and k.confrelid = c.oid
          and k.conrelid = to_regclass('public.program_class_enrollments')
      ) as referenced
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
    -- whom the job trusts: once it is installed, the owner of its schema
    select coalesce((select n.nspowner from pg_namespace n where n.nspname = 'class_activation'), t.owner) as owner
    from tables_owner t
  ), shape as materialized (
    select coalesce(min(c.name), 'program_classes') as classes, count(c.oid) as carriers,
      coalesce(min(c.name) = 'program_class_cohorts', false) as cohorts
    from job j
    left join carrier c on pg_has_role(c.relowner, j.owner, 'usage')
  ), needed_column as (
    select n.table_name, n.column_name, n.type
    from shape s
    cross join lateral (
      values
        ('facilities', 'id', 'integer'),
        ('facilities', 'name', 'text'),
        ('facilities', 'timezone', 'text'),
        ('facilities', 'deleted_at', null),
        ('users', 'id', 'integer'),
        ('users', 'username', 'text'),
        ('users', 'deleted_at', null),
        (s.classes, 'id', 'integer'),
        (s.classes, 'facility_id', 'integer'),
        -- the platform has kept the status as text before
        (s.classes, 'status', 'enum or text'),
        (s.classes, 'start_dt', 'date'),
        (s.classes, 'archived_at', null),
        (s.classes, 'deleted_at', null),
        (s.classes, 'updated_at', 'timestamp with time zone'),
        (s.classes, 'update_user_id', 'integer'),
        (case when s.cohorts then s.classes end, 'class_id', 'integer'),
        ('program_classes', 'id', 'integer'),
        ('program_classes', 'name', 'text'),
        ('program_class_enrollments', 'id', 'integer'),
        ('program_class_enrollments', case when s.cohorts then 'cohort_id' else 'class_id' end, 'integer'),
        ('program_class_enrollments', 'enrollment_status', 'enum or text'),
        ('program_class_enrollments', 'enrolled_at', 'timestamp with time zone'),
        ('program_class_enrollments', 'deleted_at', null),
        ('program_class_enrollments', 'updated_at', 'timestamp with time zone'),
        ('program_class_enrollments', 'update_user_id', 'integer'),
        ('program_classes_history', 'id', 'integer or bigint'),
        ('program_classes_history', 'parent_ref_id', 'integer or bigint'),
        ('program_classes_history', 'table_name', 'text'),
        ('program_classes_history', 'before_update', 'json'),
        ('program_classes_history', 'after_update', 'json'),
        -- the platform has it since its migration 49; without it nothing is written there
        ('change_log_entries', 'table_name', 'text'),
        ('change_log_entries', 'parent_ref_id', 'integer or bigint'),
        ('change_log_entries', 'field_name', 'text'),
        ('change_log_entries', 'old_value', 'text'),
        ('change_log_entries', 'new_value', 'text'),
        ('change_log_entries', 'created_at', 'timestamp with time zone'),
        ('change_log_entries', 'user_id', 'integer or bigint')
    ) n (table_name, column_name, type)
    where n.table_name is not null
  ), needed_table as materialized (
    select t.table_name, c.oid, c.relowner, c.relkind, c.relrowsecurity, c.relforcerowsecurity,
      coalesce(c.relkind in ('r', 'p') and pg_has_role(c.relowner, j.owner, 'usage'), false) as trusted
    from (select distinct n.table_name from needed_column n) t
    cross join job j
    left join pg_class c on c.oid = to_regclass('public.' || t.table_name)
  ), used_table as materialized (
    -- a change log that the job does not trust is none
    select t.* from needed_table t where t.trusted or t.table_name <> 'change_log_entries'
  ), missing (position, description) as (
    select 1, 'table public.' || t.table_name
    from used_table t
    where t.oid is null

    union all
    select 1, format('public.%s as a table', t.table_name)
    from used_table t
    where t.relkind not in ('r', 'p')

    union all
    select 2, format('column public.%s.%s', n.table_name, n.column_name)
      || case when a.attname is null then '' else format(' as %s (it is %s)', n.type, format_type(a.atttypid, a.atttypmod)) end
    from needed_column n
    join used_table t on t.table_name = n.table_name and t.relkind in ('r', 'p')
    left join pg_attribute a on a.attrelid = t.oid and a.attname = n.column_name and not a.attisdropped
    left join pg_type y on y.oid = a.atttypid
    -- a domain has the category of its base type
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
        else true
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
      and not t.trusted
      and j.owner is not null
      -- only names are read from the tier above the cohorts
      and not (s.cohorts and t.table_name = 'program_classes')

    union all
    select 5, format('right of role %s to %s public.%s', j.owner::regrole, r.privilege, t.table_name)
    from shape s
    cross join job j
    cross join lateral (
      values
        ('facilities', 'select'),
        ('users', 'select'),
        ('program_classes', 'select'),
        (s.classes, 'select'),
        (s.classes, 'update'),
        ('program_class_enrollments', 'select'),
        ('program_class_enrollments', 'update'),
        ('program_classes_history', 'select'),
        ('change_log_entries', 'insert')
    ) r (table_name, privilege)
    join used_table t on t.table_name = r.table_name
    where not has_table_privilege(j.owner, t.oid, r.privilege)

    union all
    select 5, format('right of role %s to use sequence %s', j.owner::regrole, q.name)
    from used_table t
    cross join job j
    cross join lateral (select pg_get_serial_sequence(t.oid::regclass::text, 'id') as name) q
    where t.table_name = 'change_log_entries'
      and not has_sequence_privilege(j.owner, q.name, 'usage')

    union all
    -- for a role that bypasses row security only itself can tell
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
  -- a table that is named twice above
  select m.description from missing m group by m.position, m.description order by m.position, m.description;
end;
$function$;

comment on function class_activation.prerequisites() is
'What the job needs of the platform, in the shape that it has, and does not find: tables that it may trust, columns
of a type that its statements take, labels of the status, rights of the role that owns the job, and rows that row
security would hide from it. No row: nothing is missing.';
