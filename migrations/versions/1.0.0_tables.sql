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
  classes_left integer not null default 0,
  reverts bigint
);
create index runs_started_at_idx on class_activation.runs (started_at);

-- No foreign keys: runs are pruned earlier, and the platform's tables stay free to change.
create table class_activation.activations (
  run_id bigint not null,
  class_id integer not null,
  facility_id integer not null,
  due_at timestamptz not null,
  activated_at timestamptz not null,
  enrollments_backfilled bigint not null,
  reverted_by bigint,
  enrollment_ids integer[],
  enrolled_at_values timestamptz[],
  updated_at_values timestamptz[],
  update_user_ids integer[],
  primary key (run_id, class_id)
);
create index activations_activated_at_idx on class_activation.activations (activated_at);
create index activations_class_id_idx on class_activation.activations (class_id);

create table class_activation.problems (
  class_id integer primary key,
  facility_id integer not null,
  first_seen_at timestamptz not null,
  last_seen_at timestamptz not null,
  attempts integer not null,
  sqlstate text not null,
  message text not null
);

create table class_activation.holds (
  class_id integer primary key,
  run_id bigint not null,
  history_id bigint not null,
  since timestamptz not null,
  start_dt date,
  status text not null
);

create table class_activation.settings (
  only_row boolean primary key default true check (only_row),
  schedule text not null default '*/15 * * * *',
  not_before time not null default '05:00',
  paused_until timestamptz,
  cron_database name,
  job_database name,
  job_username name,
  scheduled_at timestamptz
);

-- one row per tick, so that no tick waits for another
create table class_activation.ticks (ticked_at timestamptz not null);

create table class_activation.installed_objects (name text primary key, definition text not null);
