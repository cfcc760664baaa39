-- In the schemas everything is closed, table by table and function by function. So a role that is granted EXECUTE
-- on one function needs nothing else.
do $do$
declare
  v_owner constant regrole := current_setting('class_activation.owner')::oid;
begin
  if to_regnamespace('class_activation') is null then
    execute format('create schema class_activation authorization %s', v_owner);
    comment on schema class_activation is
      'Activates UnlockEdv2''s scheduled classes: what public.activate_scheduled_classes works with and remembers.';
  end if;
  if to_regnamespace('class_activation_internal') is null then
    execute format('create schema class_activation_internal authorization %s', v_owner);
    comment on schema class_activation_internal is
      'Internal functions of class_activation, which no one calls by hand.';
  end if;
end;
$do$;
