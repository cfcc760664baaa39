-- Undoes platform.sql and platform_cohorts.sql, and what a failed test may have left of class activation.
drop schema if exists class_activation, class_activation_internal cascade;
drop function if exists
  public.activate_scheduled_classes(timestamptz, time, integer),
  public.not_of_class_activation(text);
drop table if exists
  public.change_log_entries, public.program_classes_history, public.program_class_enrollments,
  public.program_class_cohorts, public.program_classes, public.programs, public.facilities, public.users,
  public.user_roles
cascade;
drop function if exists public.log_program_classes_updates();
drop type if exists public.class_status, public.funding_type;
