-- The platform's tables as of its migration 73: every column, constraint, index and trigger that its schema has on the
-- tables that the job uses. Classes were once called sections there; names of constraints and indexes still say so.

create type public.class_status as enum ('Scheduled', 'Active', 'Cancelled', 'Completed', 'Paused');
create type public.funding_type as enum (
  'Federal_Grants', 'State_Grants', 'Nonprofit_Organizations', 'Educational_Grants', 'Inmate_Welfare_Funds', 'Other'
);

create table public.user_roles (name varchar(64) primary key);
insert into public.user_roles (name) values ('student'), ('facility_admin'), ('department_admin'), ('system_admin');

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
create unique index facilities_id_nonzero_idx on public.facilities (id) where id > 0;
create index idx_facility_deleted_at on public.facilities (deleted_at);
create index idx_facilities_create_user_id on public.facilities (create_user_id);
create index idx_facilities_update_user_id on public.facilities (update_user_id);

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
  facility_id integer
    constraint users_facility_id_zero_or_positive check (facility_id is null or facility_id >= 0),
  role varchar(64) not null constraint users_role_name_fkey references public.user_roles (name),
  doc_id varchar(32),
  deactivated_at timestamp,
  create_user_id integer constraint fk_users_create_user_id references public.users (id) on delete set null,
  update_user_id integer constraint fk_users_update_user_id references public.users (id) on delete set null
);
create index idx_users_deleted_at on public.users (deleted_at);
create index idx_users_username on public.users (username);
create index idx_users_email on public.users (email);
create index idx_users_kratos_id on public.users (kratos_id);
create index idx_users_facility_id on public.users (facility_id);
create index idx_users_doc_id on public.users (doc_id);
create index idx_users_create_user_id on public.users (create_user_id);
create index idx_users_update_user_id on public.users (update_user_id);

alter table public.facilities
  add constraint fk_facilities_create_user_id foreign key (create_user_id) references public.users (id) on delete set null,
  add constraint fk_facilities_update_user_id foreign key (update_user_id) references public.users (id) on delete set null;

create table public.programs (
  id serial primary key,
  name varchar(255) not null,
  description text,
  created_at timestamptz,
  updated_at timestamptz,
  deleted_at timestamptz,
  funding_type public.funding_type,
  is_active boolean,
  archived_at timestamptz,
  create_user_id integer,
  update_user_id integer
);
create index idx_programs_deleted_at on public.programs (deleted_at);
create index idx_programs_is_active on public.programs (is_active);

create table public.program_classes (
  id serial constraint program_sections_pkey primary key,
  program_id integer not null
    constraint program_sections_program_id_fkey references public.programs (id) on update cascade,
  facility_id integer not null
    constraint program_sections_facility_id_fkey references public.facilities (id) on update cascade,
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
alter sequence public.program_classes_id_seq rename to program_sections_id_seq;
create index idx_program_sections_program_id on public.program_classes (program_id);
create index idx_program_sections_facility_id on public.program_classes (facility_id);
create index idx_program_sections_deleted_at on public.program_classes (deleted_at);
create index idx_program_sections_end_dt on public.program_classes (end_dt);

create table public.program_class_enrollments (
  id serial constraint program_section_enrollments_pkey primary key,
  class_id integer not null constraint program_section_enrollments_section_id_fkey
    references public.program_classes (id) on update cascade,
  user_id integer not null
    constraint program_section_enrollments_user_id_fkey references public.users (id) on update cascade,
  created_at timestamptz,
  updated_at timestamptz,
  deleted_at timestamptz,
  enrollment_status varchar(255),
  change_reason varchar(255),
  enrolled_at timestamptz,
  enrollment_ended_at timestamptz,
  create_user_id integer
    constraint fk_program_class_enrollments_create_user_id references public.users (id) on delete set null,
  update_user_id integer
    constraint fk_program_class_enrollments_update_user_id references public.users (id) on delete set null
);
alter sequence public.program_class_enrollments_id_seq rename to program_section_enrollments_id_seq;
create index idx_program_section_enrollments_section_id on public.program_class_enrollments (class_id);
create index idx_program_section_enrollments_user_id on public.program_class_enrollments (user_id);
create index idx_program_section_enrollments_deleted_at on public.program_class_enrollments (deleted_at);
create index idx_program_class_enrollments_create_user_id on public.program_class_enrollments (create_user_id);
create index idx_program_class_enrollments_update_user_id on public.program_class_enrollments (update_user_id);

create table public.program_classes_history (
  id serial constraint programs_sections_history_pkey primary key,
  parent_ref_id integer,
  table_name varchar(255),
  before_update json,
  after_update json,
  created_at timestamptz default current_timestamp
);
alter sequence public.program_classes_history_id_seq rename to programs_sections_history_id_seq;
create index idx_program_classes_history_table_name_parent_ref_id on public.program_classes_history (table_name, parent_ref_id);

create table public.change_log_entries (
  id serial primary key,
  table_name varchar(255),
  parent_ref_id integer,
  field_name varchar(150),
  old_value varchar(255),
  new_value varchar(255),
  created_at timestamptz,
  user_id integer not null references public.users (id) on update cascade on delete cascade
);
create index idx_change_log_table_name_parent_ref_id on public.change_log_entries (table_name, parent_ref_id);
create index idx_change_log_table_name_parent_ref_id_field_name
on public.change_log_entries (table_name, parent_ref_id, field_name);

create function public.log_program_classes_updates() returns trigger language plpgsql as $function$
begin
  insert into public.program_classes_history (parent_ref_id, table_name, before_update, after_update)
  values (old.id, tg_table_name, row_to_json(old), row_to_json(new));
  return new;
end;
$function$;

create trigger sql_trigger_programs_update after update on public.programs
for each row execute function public.log_program_classes_updates();

create trigger sql_trigger_program_classes_update after update on public.program_classes
for each row execute function public.log_program_classes_updates();

insert into public.users (id, username, name_first, name_last, email, role, facility_id, created_at, updated_at)
values (99999, 'system_batch', 'System', 'Batch', 'system_batch@example.org', 'system_admin', 0, now(), now());
