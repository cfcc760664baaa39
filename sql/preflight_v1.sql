-- Before anything is created: all that the job needs of the platform and of the role that installs
-- it, looked up in one pass, so that one error names everything that is missing.

do $do$
declare
  v_owner constant name := (
    select r.rolname
    from pg_class c
    join pg_roles r on r.oid = c.relowner
    where c.oid = to_regclass('public.program_classes')
  );
  v_missing text;
begin
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
      ('program_class_enrollments', 'update_user_id', '^integer$')
  ), needed_table as (
    select distinct n.table_name, to_regclass('public.' || n.table_name) as oid
    from needed_column n
  ), problem (position, description) as (
    select 1, 'table public.' || t.table_name
    from needed_table t
    where t.oid is null

    union all
    select 2, format('column public.%s.%s', n.table_name, n.column_name)
      || case when a.attname is not null then ' of another type than ' || format_type(a.atttypid, a.atttypmod) else '' end
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
    select 4, format('membership of %I in role %I, which owns public.program_classes', current_user, v_owner)
    where not pg_has_role(v_owner, 'usage')

    union all
    select 5, format('right of role %I to %s public.%s', v_owner, r.privilege, r.table_name)
    from (values
      ('facilities', 'select'),
      ('users', 'select'),
      ('program_class_enrollments', 'select'),
      ('program_class_enrollments', 'update')
    ) r (table_name, privilege)
    join needed_table t on t.table_name = r.table_name and t.oid is not null
    where not has_table_privilege(v_owner, t.oid, r.privilege)

    union all
    select 6, format('right of role %I to create a schema in database %I', current_user, current_database())
    where not has_database_privilege(current_database(), 'create')

    union all
    select 7, format('right of role %I to create a function in schema public', current_user)
    where not has_schema_privilege('public', 'create')

    union all
    select 8, format('the free name of function %s', p.oid::regprocedure)
    from pg_proc p
    where p.pronamespace = 'public'::regnamespace
      and p.proname = 'activate_scheduled_classes'

    union all
    select 9, 'the free name of schema class_activation'
    where to_regnamespace('class_activation') is not null
  )
  select string_agg(p.description, ', ' order by p.position, p.description) into v_missing from problem p;

  if v_missing is not null then
    raise exception using
      errcode = '55000',
      message = format('database %I lacks what class activation needs: %s', current_database(), v_missing),
      hint = 'Is this the database of the platform? Nothing was installed: connect to the right one'
        || ' (-x url=postgresql://...) or provide what is named, then repeat.';
  end if;
end;
$do$;
