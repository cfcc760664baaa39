-- Everything that the project installs belongs to the owner of public.program_classes, whoever
-- installs it: the job then has that owner's rights and never more.

do $do$
declare
  v_owner constant name := (
    select pg_get_userbyid(c.relowner) from pg_class c where c.oid = to_regclass('public.program_classes')
  );
  v_schema constant oid := 'class_activation'::regnamespace;
  v_object text;
begin
  for v_object in
    select 'schema class_activation'
    union all
    select format('table %s', c.oid::regclass)
    from pg_class c
    where c.relnamespace = v_schema and c.relkind = 'r'
    union all
    select format('function %s', p.oid::regprocedure)
    from pg_proc p
    where p.pronamespace = v_schema
      -- never another one of that name: it is somebody else's, and would get the owner's rights
      or p.oid = to_regprocedure('public.activate_scheduled_classes(timestamptz, time, integer)')
  loop
    execute format('alter %s owner to %I', v_object, v_owner);
  end loop;
end;
$do$;
