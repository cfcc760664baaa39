-- In the schemas everything is closed, table by table and function by function. So a role that is granted EXECUTE
-- on one function needs nothing else.
do $do$
declare
  v_schema text;
begin
  foreach v_schema in array array[{schemas}] loop
    if to_regnamespace(v_schema) is null then
      execute format('create schema %I authorization %s', v_schema, current_setting('class_activation.owner')::oid::regrole);
      execute format('comment on schema %I is %L', v_schema, 'Activates UnlockEdv2''s scheduled classes: what'
        || ' public.activate_scheduled_classes works with and remembers.');
    end if;
  end loop;
end;
$do$;
