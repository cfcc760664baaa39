-- Before anything is created: everything that is missing, in one error. pg_temp.prerequisites is the function of
-- sql/platform, made for this session.
do $do$
declare
  v_classes constant regclass := coalesce(to_regclass('public.program_class_cohorts'), to_regclass('public.program_classes'));
  v_owner constant oid := (select c.relowner from pg_class c where c.oid = v_classes);
  v_installed constant boolean := to_regclass('class_activation.alembic_version') is not null;
  v_known text[] := '{}';
  v_missing text;
begin
  if to_regclass('class_activation.installed_objects') is not null then
    execute 'select array(select concat(i.name, i.definition) from class_activation.installed_objects i)' into v_known;
  end if;

  with missing (position, description) as (
    select 1, format('right of role %I to create a schema in database %I', current_user, current_database())
    where not v_installed
      and not has_database_privilege(current_database(), 'create')

    union all
    select 2, format('right of role %I to create in schema public', current_user)
    where not has_schema_privilege('public', 'create')

    union all
    -- which alter function ... owner to needs
    select 2, format('right of role %s, which owns %s, to create in schema public', v_owner::regrole, v_classes)
    where v_owner <> current_user::regrole
      and not has_schema_privilege(v_owner, 'public', 'create')
      and not (select r.rolsuper from pg_roles r where r.rolname = current_user)

    union all
    select 3, format('membership of role %I in role %s, which owns %s', current_user, v_owner::regrole, v_classes)
    where not pg_has_role(v_owner, 'usage')

    union all
    select 4, format('the free name of function %s', p.oid::regprocedure)
    from pg_proc p
    where not v_installed
      and p.pronamespace = 'public'::regnamespace
      and p.proname = 'activate_scheduled_classes'

    union all
    -- a function that another role has made, and not one of class activation that was given to another role
    select 4, format('the free name of function %s, which belongs to role %s', p.oid::regprocedure, p.proowner::regrole)
    from pg_proc p
    join pg_roles r on r.oid = p.proowner
    where v_installed
      and p.oid::regprocedure::text = any (array[{functions}])
      and p.proowner not in (v_owner, (select n.nspowner from pg_namespace n where n.nspname = 'class_activation'))
      and not r.rolsuper
      and format('function %s', p.oid::regprocedure)
        || md5(concat(pg_get_functiondef(p.oid), obj_description(p.oid, 'pg_proc'))) <> all (v_known)

    union all
    select 5, 'the free name of schema class_activation'
    where not v_installed
      and to_regnamespace('class_activation') is not null

    union all
    select 6, 'the free name of index public.class_activation_due_idx'
    where not v_installed
      and to_regclass('public.class_activation_due_idx') is not null

    union all
    select 7, p.description
    from pg_temp.prerequisites() p (description)
  )
  select string_agg(m.description, ', ' order by m.position, m.description) into v_missing from missing m;

  if v_missing is not null then
    raise exception using
      errcode = '55000',
      message = format('class activation cannot be installed in database %I without: %s', current_database(), v_missing),
      hint = 'Nothing was installed. Is this the database of the platform (-x url=postgresql://...)? This version knows'
        || ' two shapes of the platform, with and without cohorts, from its migration 62 on. Let the owner of the tables'
        || ' or a superuser grant the rights that are named, then repeat.';
  end if;
end;
$do$;
