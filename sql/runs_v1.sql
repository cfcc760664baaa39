create table class_activation.runs (
  id bigint generated always as identity primary key,
  started_at timestamptz not null,
  finished_at timestamptz,
  as_of timestamptz not null,
  not_before time not null,
  called_by name not null,
  classes_activated integer not null default 0,
  enrollments_backfilled bigint not null default 0,
  classes_failed integer not null default 0,
  classes_skipped integer not null default 0,
  reverts bigint
);

create index runs_started_at_idx on class_activation.runs (started_at);

comment on table class_activation.runs is
  'One row for each call of activate_scheduled_classes or class_activation.revert, kept for 90 days.';
comment on index class_activation.runs_started_at_idx is
  'For health and doctor, the last run; for prune, those older than 90 days.';
comment on column class_activation.runs.as_of is 'the instant that the call was made for (p_as_of)';
comment on column class_activation.runs.not_before is
  'local time of day from which a class that starts that day counted (p_not_before)';
comment on column class_activation.runs.called_by is 'the session_user of the call';
comment on column class_activation.runs.enrollments_backfilled is
  'all that the run gave an enrolled_at, late ones of earlier activations included';
comment on column class_activation.runs.classes_failed is 'due, but could not be activated: see problems';
comment on column class_activation.runs.classes_skipped is 'due, but held by another session: left to the next run';
comment on column class_activation.runs.reverts is
  'the run that this one took back (class_activation.revert); null for a run of the job';
