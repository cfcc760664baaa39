create schema class_activation;

-- In it everything is closed, table by table and function by function. So a role that is granted EXECUTE on one
-- function needs nothing else.
grant usage on schema class_activation to public;

comment on schema class_activation is
  'Activates UnlockEdv2''s scheduled classes: what public.activate_scheduled_classes works with and remembers.';
