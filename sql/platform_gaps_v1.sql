-- All that the job needs of the platform, in one list: who installs it asks first, and doctor later.
create function class_activation.platform_gaps()
returns setof text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
  v_owner constant name := (
    select pg_get_userbyid(c.relowner) from pg_class c where c.oid = to_regclass('public.program_classes')
  );
begin
  return query
  with needed_column (table_name, column_name, type_pattern) as (
    values
      ('facilities', 'id', '^integer$'),
      ('facilities', 'timezone', '^(character varying|text)'),
      ('facilities', 'deleted_at', '^timestamp with time zone$'),
      ('users', 'id', '^integer$'),
      ('users', 'username', '^(character varying|text)'),
      ('users', 'deleted_at', '^timestamp with time zone$'),
      ('program_classes', 'id', '^integer$'),
      ('program_classes', 'facility_id', '^integer$'),
      ('program_classes', 'name', '^(character varying|text)'),
      -- the platform has kept the status as text before
      ('program_classes', 'status', '^(public\.class_status$|character varying|text)'),
      ('program_classes', 'start_dt', '^date$'),
      ('program_classes', 'archived_at', '^timestamp with time zone$'),
      ('program_classes', 'deleted_at', '^timestamp with time zone$'),
      ('program_classes', 'updated_at', '^timestamp with time zone$'),
      ('program_classes', 'update_user_id', '^integer$'),
      ('program_class_enrollments', 'class_id', '^integer$'),
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
  ), needed_table as (
    select distinct n.table_name, to_regclass('public.' || n.table_name) as oid
    from needed_column n
  ), problem (position, description) as (
    select 1, 'table public.' || t.table_name
    from needed_table t
    where t.oid is null

    union all
    select 2, format('column public.%s.%s', n.table_name, n.column_name)
      || case when a.attname is null then '' else format(' of its type (it is %s)', format_type(a.atttypid, a.atttypmod)) end
    from needed_column n
    join needed_table t on t.table_name = n.table_name and t.oid is not null
    left join pg_attribute a
      on a.attrelid = t.oid and a.attname = n.column_name and not a.attisdropped
    where a.attname is null
      or format_type(a.atttypid, a.atttypmod) !~ n.type_pattern

    union all
    select 3, format('label %L of type %s', l.label, format_type(a.atttypid, null))
    from pg_attribute a
    join pg_type y on y.oid = a.atttypid and y.typtype = 'e'
    cross join (values ('Scheduled'), ('Active')) l (label)
    where a.attrelid = to_regclass('public.program_classes')
      and a.attname = 'status'
      and not exists (
        select from pg_enum e where e.enumtypid = y.oid and e.enumlabel = l.label
      )

    union all
    select 4, format('right of role %I to %s public.%s', v_owner, r.privilege, r.table_name)
    from (values
      ('facilities', 'select'),
      ('users', 'select'),
      ('program_class_enrollments', 'select'),
      ('program_class_enrollments', 'update'),
      ('program_classes_history', 'select')
    ) r (table_name, privilege)
    join needed_table t on t.table_name = r.table_name and t.oid is not null
    where not has_table_privilege(v_owner, t.oid, r.privilege)
  )
  select p.description from problem p order by p.position, p.description;
end;
$function$;

revoke execute on function class_activation.platform_gaps() from public;

comment on function class_activation.platform_gaps() is
'What the job needs of the platform and does not find: tables, columns with their types, labels of the
status, and rights of the role that owns public.program_classes. No row: nothing is missing.';
