-- No foreign keys: runs are pruned while this is kept, and the platform's tables stay free to change.
create table class_activation.activations (
  run_id bigint not null,
  class_id integer not null,
  facility_id integer not null,
  due_at timestamptz not null,
  activated_at timestamptz not null,
  enrollments_backfilled bigint not null,
  reverted_by bigint,
  primary key (run_id, class_id)
);

create index activations_activated_at_idx on class_activation.activations (activated_at);

comment on table class_activation.activations is
  'The audit trail: one row for each class that a run made Active. Never pruned.';
comment on index class_activation.activations_activated_at_idx is
  'For recently_activated and health: what was activated in the last 24 hours.';
comment on column class_activation.activations.due_at is 'when the class became due on its facility''s clock';
comment on column class_activation.activations.activated_at is
  'time of the transaction; program_classes.updated_at got the same value';
comment on column class_activation.activations.enrollments_backfilled is
  'enrollments that got their enrolled_at together with the class';
comment on column class_activation.activations.reverted_by is 'the run of class_activation.revert that took it back';
