-- Before anything is created: whether this role may install it all, and whether the names are free.

do $do$
declare
  v_owner constant name := (
    select pg_get_userbyid(c.relowner) from pg_class c where c.oid = to_regclass('public.program_classes')
  );
  v_missing text;
begin
  with problem (position, description) as (
    select 1, format('right of role %I to create a schema in database %I', current_user, current_database())
    where not has_database_privilege(current_database(), 'create')

    union all
    select 2, format('right of role %I to create in schema public', current_user)
    where not has_schema_privilege('public', 'create')

    union all
    select 3, format('membership of role %I in role %I, which owns public.program_classes', current_user, v_owner)
    where not pg_has_role(v_owner, 'usage')

    union all
    select 4, format('the free name of function %s', p.oid::regprocedure)
    from pg_proc p
    where p.pronamespace = 'public'::regnamespace
      and p.proname = 'activate_scheduled_classes'

    union all
    select 5, 'the free name of schema class_activation'
    where to_regnamespace('class_activation') is not null

    union all
    select 6, 'the free name of index public.class_activation_due_idx'
    where to_regclass('public.class_activation_due_idx') is not null
  )
  select string_agg(p.description, ', ' order by p.position, p.description) into v_missing from problem p;

  if v_missing is not null then
    raise exception using
      errcode = '42501',
      message = format('class activation cannot be installed in database %I without: %s', current_database(), v_missing),
      hint = 'Nothing was installed. Is this the database of the platform (-x url=postgresql://...)?'
        || ' Let its owner or a superuser grant what is named, then repeat.';
  end if;
end;
$do$;
