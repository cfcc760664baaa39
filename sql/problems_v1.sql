create table class_activation.problems (
  class_id integer primary key,
  facility_id integer not null,
  first_seen_at timestamptz not null,
  last_seen_at timestamptz not null,
  attempts integer not null,
  sqlstate text not null,
  message text not null
);

comment on table class_activation.problems is
  'One row for each class that could not be activated, gone as soon as it is activated or no longer due.';
comment on column class_activation.problems.attempts is 'runs that met the problem';
comment on column class_activation.problems.sqlstate is '22023: the server does not know the time zone of the facility';
