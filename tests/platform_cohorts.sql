-- The platform's migration 74, on the tables of platform.sql: a class becomes a cohort, under a new tier of classes. The
-- caller wraps it in a transaction, as the platform does. The platform merges similar cohorts into one class. Here each
-- cohort gets its own class, and the classes are numbered backwards: the ids of the tiers overlap, and a mix-up shows.

alter table public.program_classes rename to program_class_cohorts;
alter table public.program_class_enrollments rename column class_id to cohort_id;
alter table public.programs add column has_program_completion boolean not null default false;

alter table public.program_class_cohorts rename constraint program_sections_pkey to program_class_cohorts_pkey;
alter table public.program_class_cohorts rename constraint program_sections_program_id_fkey to program_class_cohorts_program_id_fkey;
alter table public.program_class_cohorts rename constraint program_sections_facility_id_fkey to program_class_cohorts_facility_id_fkey;
alter table public.program_class_enrollments rename constraint program_section_enrollments_pkey to program_class_enrollments_pkey;
alter table public.program_class_enrollments
  rename constraint program_section_enrollments_section_id_fkey to program_class_enrollments_cohort_id_fkey;
alter table public.program_class_enrollments
  rename constraint program_section_enrollments_user_id_fkey to program_class_enrollments_user_id_fkey;
alter table public.program_classes_history rename constraint programs_sections_history_pkey to program_classes_history_pkey;

alter sequence public.program_sections_id_seq rename to program_class_cohorts_id_seq;
alter sequence public.program_section_enrollments_id_seq rename to program_class_enrollments_id_seq;
alter sequence public.programs_sections_history_id_seq rename to program_classes_history_id_seq;

alter index public.idx_program_sections_program_id rename to idx_program_class_cohorts_program_id;
alter index public.idx_program_sections_facility_id rename to idx_program_class_cohorts_facility_id;
alter index public.idx_program_sections_deleted_at rename to idx_program_class_cohorts_deleted_at;
alter index public.idx_program_sections_end_dt rename to idx_program_class_cohorts_end_dt;
alter index public.idx_program_section_enrollments_section_id rename to idx_program_class_enrollments_cohort_id;
alter index public.idx_program_section_enrollments_user_id rename to idx_program_class_enrollments_user_id;
alter index public.idx_program_section_enrollments_deleted_at rename to idx_program_class_enrollments_deleted_at;

alter trigger sql_trigger_program_classes_update on public.program_class_cohorts rename to sql_trigger_program_class_cohorts_update;

update public.program_classes_history set table_name = 'program_class_cohorts' where table_name = 'program_classes';
update public.change_log_entries set table_name = 'program_class_cohorts' where table_name = 'program_classes';

create table public.program_classes (
  id serial primary key,
  program_id integer not null references public.programs (id) on update cascade,
  facility_id integer not null references public.facilities (id) on update cascade,
  name varchar(255) not null,
  description text,
  credit_hours integer,
  archived_at timestamptz,
  created_at timestamptz,
  updated_at timestamptz,
  deleted_at timestamptz,
  create_user_id integer constraint fk_program_classes_create_user_id references public.users (id) on delete set null,
  update_user_id integer constraint fk_program_classes_update_user_id references public.users (id) on delete set null,
  unique (id, program_id, facility_id)
);
create index idx_program_classes_program_id on public.program_classes (program_id);
create index idx_program_classes_facility_id on public.program_classes (facility_id);
create index idx_program_classes_archived_at on public.program_classes (archived_at);
create index idx_program_classes_deleted_at on public.program_classes (deleted_at);
create index idx_program_classes_create_user_id on public.program_classes (create_user_id);
create index idx_program_classes_update_user_id on public.program_classes (update_user_id);

-- without a row in the history
alter table public.program_class_cohorts add column class_id integer;
create index idx_program_class_cohorts_class_id on public.program_class_cohorts (class_id);

alter table public.program_class_cohorts disable trigger sql_trigger_program_class_cohorts_update;
update public.program_class_cohorts c set class_id = n.class_id
from (select id, row_number() over (order by id desc) as class_id from public.program_class_cohorts) n
where n.id = c.id;
alter table public.program_class_cohorts enable trigger sql_trigger_program_class_cohorts_update;

insert into public.program_classes (id, program_id, facility_id, name, description, credit_hours, archived_at,
  created_at, updated_at, deleted_at, create_user_id, update_user_id)
select class_id, program_id, facility_id, coalesce(name, 'Class'), description, credit_hours, archived_at,
  created_at, updated_at, deleted_at, create_user_id, update_user_id
from public.program_class_cohorts order by class_id;
select setval('public.program_classes_id_seq', max(id)) from public.program_classes;

alter table public.program_class_cohorts
  alter column class_id set not null,
  drop column name,
  drop column instructor_name,
  add constraint program_class_cohorts_class_parent_fkey foreign key (class_id, program_id, facility_id)
    references public.program_classes (id, program_id, facility_id) on update cascade;

alter table public.program_class_enrollments add column class_id integer;
update public.program_class_enrollments e set class_id = c.class_id
from public.program_class_cohorts c where c.id = e.cohort_id;
alter table public.program_class_enrollments
  alter column class_id set not null,
  add foreign key (class_id) references public.program_classes (id) on update cascade;
create index idx_program_class_enrollments_class_id on public.program_class_enrollments (class_id);
create unique index program_class_enrollments_active_user_class_uniq on public.program_class_enrollments (user_id, class_id)
where enrollment_status = 'Enrolled' and deleted_at is null;

create trigger sql_trigger_program_classes_update after update on public.program_classes
for each row execute function public.log_program_classes_updates();
