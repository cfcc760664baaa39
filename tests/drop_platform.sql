-- Undoes platform.sql, and what a failed test may have left of ours.
drop schema if exists class_activation cascade;
drop function if exists
  public.activate_scheduled_classes(timestamptz, time, integer),
  public.not_of_class_activation(text);
drop table
  public.program_classes_history,
  public.program_class_enrollments,
  public.program_classes,
  public.programs,
  public.facilities,
  public.users,
  public.user_roles
cascade;
drop function public.log_program_classes_updates();
drop type public.class_status;
