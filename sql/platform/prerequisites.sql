-- All that the job needs of the platform, in one list: a deployment asks first, and doctor later.
create or replace function class_activation.prerequisites()
returns setof text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set quote_all_identifiers = off
as $function$
declare
  v_cohorts constant boolean := to_regclass('public.program_class_cohorts') is not null;
  v_classes constant text := case when v_cohorts then 'program_class_cohorts' else 'program_classes' end;
  v_owner constant oid := (select c.relowner from pg_class c where c.oid = to_regclass('public.' || v_classes));
begin
  return query
  with needed_column (table_name, column_name, type_pattern) as (
    values
      ('facilities', 'id', '^integer$'),
      ('facilities', 'name', '^(character varying|text)'),
      ('facilities', 'timezone', '^(character varying|text)'),
      ('facilities', 'deleted_at', '^timestamp with time zone$'),
      ('users', 'id', '^integer$'),
      ('users', 'username', '^(character varying|text)'),
      ('users', 'deleted_at', '^timestamp with time zone$'),
      (v_classes, 'id', '^integer$'),
      (v_classes, 'facility_id', '^integer$'),
      -- the platform has kept the status as text before
      (v_classes, 'status', '^(public[.]class_status$|character varying|text)'),
      (v_classes, 'start_dt', '^date$'),
      (v_classes, 'archived_at', '^timestamp with time zone$'),
      (v_classes, 'deleted_at', '^timestamp with time zone$'),
      (v_classes, 'updated_at', '^timestamp with time zone$'),
      (v_classes, 'update_user_id', '^integer$'),
      ('program_classes', 'id', '^integer$'),
      ('program_classes', 'name', '^(character varying|text)'),
      ('program_class_enrollments', 'id', '^integer$'),
      ('program_class_enrollments', case when v_cohorts then 'cohort_id' else 'class_id' end, '^integer$'),
      ('program_class_enrollments', 'enrollment_status', '^(character varying|text)'),
      ('program_class_enrollments', 'enrolled_at', '^timestamp with time zone$'),
      ('program_class_enrollments', 'deleted_at', '^timestamp with time zone$'),
      ('program_class_enrollments', 'updated_at', '^timestamp with time zone$'),
      ('program_class_enrollments', 'update_user_id', '^integer$'),
      ('program_classes_history', 'id', '^integer$'),
      ('program_classes_history', 'parent_ref_id', '^integer$'),
      ('program_classes_history', 'table_name', '^(character varying|text)'),
      ('program_classes_history', 'before_update', '^json'),
      ('program_classes_history', 'after_update', '^json')
    union all
    select v_classes, 'class_id', '^integer$'
    where v_cohorts
    union all
    -- the platform has it since its migration 49; without it nothing is written there
    select 'change_log_entries', c.name, c.type_pattern
    from (values
      ('table_name', '^(character varying|text)'),
      ('parent_ref_id', '^integer$'),
      ('field_name', '^(character varying|text)'),
      ('old_value', '^(character varying|text)'),
      ('new_value', '^(character varying|text)'),
      ('created_at', '^timestamp with time zone$'),
      ('user_id', '^integer$')
    ) c (name, type_pattern)
    where to_regclass('public.change_log_entries') is not null
  ), needed_table as (
    select distinct n.table_name, to_regclass('public.' || n.table_name) as oid
    from needed_column n
  ), missing (position, description) as (
    select 1, 'table public.' || t.table_name
    from needed_table t
    where t.oid is null

    union
    select 2, format('column public.%s.%s', n.table_name, n.column_name)
      || case when a.attname is null then '' else format(' of its type (it is %s)', format_type(a.atttypid, a.atttypmod)) end
    from needed_column n
    join needed_table t on t.table_name = n.table_name and t.oid is not null
    left join pg_attribute a
      on a.attrelid = t.oid and a.attname = n.column_name and not a.attisdropped
    where a.attname is null
      or format_type(a.atttypid, a.atttypmod) !~ n.type_pattern

    union all
    select 2, format('public.%s as an ordinary table (an index cannot be built concurrently on others)', t.table_name)
    from needed_table t
    join pg_class c on c.oid = t.oid
    where t.table_name = v_classes
      and c.relkind <> 'r'

    union all
    select 3, format('label %L of type %s', l.label, format_type(a.atttypid, null))
    from pg_attribute a
    join pg_type y on y.oid = a.atttypid and y.typtype = 'e'
    cross join (values ('Scheduled'), ('Active')) l (label)
    where a.attrelid = to_regclass('public.' || v_classes)
      and a.attname = 'status'
      and not exists (
        select from pg_enum e where e.enumtypid = y.oid and e.enumlabel = l.label
      )

    union all
    select 4, format('right of role %s to %s public.%s', v_owner::regrole, r.privilege, r.table_name)
    from (values
      ('facilities', 'select'),
      ('users', 'select'),
      ('program_classes', 'select'),
      ('program_class_enrollments', 'select'),
      ('program_class_enrollments', 'update'),
      ('program_classes_history', 'select'),
      ('change_log_entries', 'insert')
    ) r (table_name, privilege)
    join needed_table t on t.table_name = r.table_name and t.oid is not null
    where not has_table_privilege(v_owner, t.oid, r.privilege)

    union all
    select 4, format('right of role %s to use sequence %s', v_owner::regrole, s.name)
    from (
      select pg_get_serial_sequence(t.oid::regclass::text, 'id') as name
      from needed_table t
      where t.table_name = 'change_log_entries'
        and t.oid is not null
    ) s
    where not has_sequence_privilege(v_owner, s.name, 'usage')

    union all
    select 5, format('rows of public.%s, to which row security applies for role %s', t.table_name, v_owner::regrole)
    from needed_table t
    join pg_class c on c.oid = t.oid
    join pg_roles r on r.oid = v_owner
    where c.relrowsecurity
      and (c.relforcerowsecurity or not pg_has_role(v_owner, c.relowner, 'usage'))
      and not r.rolsuper
      and not r.rolbypassrls
  )
  select m.description from missing m order by m.position, m.description;
end;
$function$;

revoke execute on function class_activation.prerequisites() from public;

comment on function class_activation.prerequisites() is
'What the job needs of the platform, in the shape that it has, and does not find: tables, columns with their types,
labels of the status, rights of the role that owns the table with the status, and rows that row security would hide
from it. No row: nothing is missing.';
