-- Plain columns, no predicate: a predicate on status would block the platform's own changes of its type.
create index concurrently class_activation_due_idx on public.program_classes (status, start_dt);
