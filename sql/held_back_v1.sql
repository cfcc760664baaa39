create table class_activation.held_back (
  class_id integer primary key,
  run_id bigint not null,
  history_id integer not null,
  since timestamptz not null
);

comment on table class_activation.held_back is
  'Classes that revert took back, not activated again until their start date or status is changed or their row here deleted.';
comment on column class_activation.held_back.run_id is 'the run of revert that took the class back';
comment on column class_activation.held_back.history_id is
  'the newest id of program_classes_history at that moment: later rows tell whether the class was changed';
