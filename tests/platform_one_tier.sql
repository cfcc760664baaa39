-- Undoes platform_cohorts.sql, as the platform's migration 74 does downwards: cohorts are classes again, with their ids
-- and the names of their classes. Names of instructors and the log of the new tier are lost.

alter table public.program_class_cohorts disable trigger sql_trigger_program_class_cohorts_update;
alter table public.program_class_cohorts add column name varchar(255), add column instructor_name varchar(255);
update public.program_class_cohorts c set name = p.name from public.program_classes p where p.id = c.class_id;
alter table public.program_class_cohorts enable trigger sql_trigger_program_class_cohorts_update;

alter table public.program_class_enrollments drop column class_id;
alter table public.program_class_cohorts drop column class_id;
drop table public.program_classes;
delete from public.program_classes_history where table_name = 'program_classes';
delete from public.change_log_entries where table_name = 'program_classes';

update public.program_classes_history set table_name = 'program_classes' where table_name = 'program_class_cohorts';
update public.change_log_entries set table_name = 'program_classes' where table_name = 'program_class_cohorts';

alter trigger sql_trigger_program_class_cohorts_update on public.program_class_cohorts rename to sql_trigger_program_classes_update;

alter index public.idx_program_class_cohorts_program_id rename to idx_program_sections_program_id;
alter index public.idx_program_class_cohorts_facility_id rename to idx_program_sections_facility_id;
alter index public.idx_program_class_cohorts_deleted_at rename to idx_program_sections_deleted_at;
alter index public.idx_program_class_cohorts_end_dt rename to idx_program_sections_end_dt;
alter index public.idx_program_class_enrollments_cohort_id rename to idx_program_section_enrollments_section_id;
alter index public.idx_program_class_enrollments_user_id rename to idx_program_section_enrollments_user_id;
alter index public.idx_program_class_enrollments_deleted_at rename to idx_program_section_enrollments_deleted_at;

alter sequence public.program_class_cohorts_id_seq rename to program_sections_id_seq;
alter sequence public.program_class_enrollments_id_seq rename to program_section_enrollments_id_seq;
alter sequence public.program_classes_history_id_seq rename to programs_sections_history_id_seq;

alter table public.program_class_cohorts rename constraint program_class_cohorts_pkey to program_sections_pkey;
alter table public.program_class_cohorts rename constraint program_class_cohorts_program_id_fkey to program_sections_program_id_fkey;
alter table public.program_class_cohorts rename constraint program_class_cohorts_facility_id_fkey to program_sections_facility_id_fkey;
alter table public.program_class_enrollments rename constraint program_class_enrollments_pkey to program_section_enrollments_pkey;
alter table public.program_class_enrollments
  rename constraint program_class_enrollments_cohort_id_fkey to program_section_enrollments_section_id_fkey;
alter table public.program_class_enrollments
  rename constraint program_class_enrollments_user_id_fkey to program_section_enrollments_user_id_fkey;
alter table public.program_classes_history rename constraint program_classes_history_pkey to programs_sections_history_pkey;

alter table public.programs drop column has_program_completion;
alter table public.program_class_enrollments rename column cohort_id to class_id;
alter table public.program_class_cohorts rename to program_classes;
