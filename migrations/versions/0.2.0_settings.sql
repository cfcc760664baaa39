-- What a run writes first, so that none meets a deadlock with what follows.
lock table class_activation.runs in access exclusive mode;

-- One row: how the job is scheduled.
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

-- The heartbeat: one row for each tick of pg_cron, so that no tick waits for another one's row.
create table class_activation.ticks (
  ticked_at timestamptz not null
);

-- What a deployment has installed, so that the next one and doctor know what changed since.
create table class_activation.installed_objects (
  name text primary key,
  definition text,
  acl aclitem[]
);

alter table class_activation.runs add column classes_left integer not null default 0;

create table class_activation.late_enrollments (
  run_id bigint not null,
  class_id integer not null,
  enrollment_ids integer[] not null,
  enrolled_at timestamptz[] not null,
  updated_at timestamptz[] not null,
  update_user_id integer[] not null,
  primary key (run_id, class_id)
);

create index late_enrollments_class_id_idx on class_activation.late_enrollments (class_id);

alter table class_activation.activations
  add column enrollment_ids integer[],
  add column enrolled_at timestamptz[],
  add column updated_at timestamptz[],
  add column update_user_id integer[];

alter table class_activation.held_back rename to holds;
alter index class_activation.held_back_pkey rename to holds_pkey;
alter table class_activation.holds
  add column start_dt date,
  add column status text not null default 'Scheduled';
alter table class_activation.holds alter column status drop default;
