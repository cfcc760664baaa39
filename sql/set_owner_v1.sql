-- Everything that the project installs belongs to the owner of public.program_classes, whoever
-- installs it: the job then has that owner's rights and never more.

do $do$
declare
  v_owner constant name := (
    select r.rolname
    from pg_class c
    join pg_roles r on r.oid = c.relowner
    where c.oid = 'public.program_classes'::regclass
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
      or (p.pronamespace = 'public'::regnamespace and p.proname = 'activate_scheduled_classes')
  loop
    execute format('alter %s owner to %I', v_object, v_owner);
  end loop;
end;
$do$;
