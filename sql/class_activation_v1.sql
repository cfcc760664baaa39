create schema class_activation;

comment on schema class_activation is
  'Activates UnlockEdv2''s scheduled classes: what public.activate_scheduled_classes works with and remembers.';
