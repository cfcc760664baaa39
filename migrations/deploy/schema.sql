-- In the schemas everything is closed, table by table and function by function. So a role that is granted EXECUTE
-- on one function needs nothing else.
do $do$
declare
  v_schema record;
begin
  for v_schema in
    select s.name, s.comment
    from (values
      ('class_activation', 'Activates UnlockEdv2''s scheduled classes: what public.activate_scheduled_classes works with'
        || ' and remembers.'),
      ('class_activation_internal', 'Internal functions of class_activation, which no one calls by hand.')
    ) s (name, comment)
    where to_regnamespace(s.name) is null
  loop
    execute format('create schema %I authorization %s', v_schema.name, current_setting('class_activation.owner')::oid::regrole);
    execute format('comment on schema %I is %L', v_schema.name, v_schema.comment);
  end loop;
end;
$do$;
