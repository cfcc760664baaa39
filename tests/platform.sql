-- The platform's tables as the job meets them: every column, constraint, index and trigger that
-- the production schema has on the six tables that matter. The platform owns this shape; the
-- project only reads it and writes rows. Tests and the demo load it into a throwaway database.

create type public.class_status as enum ('Scheduled', 'Active', 'Cancelled', 'Completed', 'Paused');

create table public.user_roles (
  name varchar(64) primary key
);

insert into public.user_roles (name) values ('student'), ('facility_admin'), ('system_admin');

create table public.facilities (
  id serial primary key,
  timezone varchar(56) not null default 'America/New_York',
  created_at timestamptz,
  updated_at timestamptz,
  deleted_at timestamptz,
  name varchar(255) not null,
  create_user_id integer,
  update_user_id integer
);

create table public.users (
  id serial primary key,
  created_at timestamptz,
  updated_at timestamptz,
  deleted_at timestamptz,
  username varchar(255) not null,
  name_first varchar(255) not null,
  email varchar(255) not null,
  name_last varchar(255) not null,
  kratos_id varchar(255),
  facility_id integer,
  role varchar(64) not null references public.user_roles (name),
  doc_id varchar(32),
  deactivated_at timestamp,
  create_user_id integer,
  update_user_id integer
);

create index idx_users_username on public.users (username);

alter table public.facilities
  add foreign key (create_user_id) references public.users (id),
  add foreign key (update_user_id) references public.users (id);

create table public.programs (
  id serial primary key,
  name varchar(255) not null,
  description text,
  created_at timestamptz,
  updated_at timestamptz,
  deleted_at timestamptz,
  is_active boolean,
  archived_at timestamptz,
  create_user_id integer,
  update_user_id integer
);

create table public.program_classes (
  id serial primary key,
  program_id integer not null references public.programs (id),
  facility_id integer not null references public.facilities (id),
  created_at timestamptz,
  updated_at timestamptz,
  deleted_at timestamptz,
  capacity integer,
  name varchar(255),
  instructor_name varchar(255),
  description text,
  archived_at timestamptz,
  start_dt date,
  credit_hours integer,
  status public.class_status,
  end_dt date,
  create_user_id integer,
  update_user_id integer
);

create index idx_program_classes_program_id on public.program_classes (program_id);
create index idx_program_classes_facility_id on public.program_classes (facility_id);
create index idx_program_classes_deleted_at on public.program_classes (deleted_at);
create index idx_program_classes_end_dt on public.program_classes (end_dt);

create table public.program_class_enrollments (
  id serial primary key,
  class_id integer not null references public.program_classes (id),
  user_id integer not null references public.users (id),
  created_at timestamptz,
  updated_at timestamptz,
  deleted_at timestamptz,
  enrollment_status varchar(255),
  change_reason varchar(255),
  enrolled_at timestamptz,
  enrollment_ended_at timestamptz,
  create_user_id integer references public.users (id),
  update_user_id integer references public.users (id)
);

create index idx_enrollments_class_id on public.program_class_enrollments (class_id);
create index idx_enrollments_user_id on public.program_class_enrollments (user_id);
create index idx_enrollments_deleted_at on public.program_class_enrollments (deleted_at);
create index idx_enrollments_create_user_id on public.program_class_enrollments (create_user_id);
create index idx_enrollments_update_user_id on public.program_class_enrollments (update_user_id);

create table public.program_classes_history (
  id serial primary key,
  parent_ref_id integer,
  table_name varchar(255),
  before_update json,
  after_update json,
  created_at timestamptz default current_timestamp
);

create function public.log_program_classes_updates() returns trigger language plpgsql as $function$
begin
  insert into public.program_classes_history (parent_ref_id, table_name, before_update, after_update)
  values (old.id, tg_table_name, row_to_json(old), row_to_json(new));
  return new;
end;
$function$;

create trigger sql_trigger_program_classes_update
after update on public.program_classes
for each row execute function public.log_program_classes_updates();

insert into public.users (id, username, name_first, name_last, email, role, created_at, updated_at)
values (99999, 'system_batch', 'System', 'Batch', 'system_batch@example.org', 'system_admin', now(), now());
