-- STAND-IN: the lead's file replaces this one.
create or replace function class_activation.run(
  p_as_of timestamptz,
  p_not_before time,
  p_max_classes integer,
  p_tick boolean
)
returns table (
  class_id integer,
  facility_id integer,
  class_name text,
  start_dt date,
  due_at timestamptz,
  enrollments_backfilled bigint
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set row_security = off
as $function$
begin
  return query
  select r.*
  from class_activation.activate_scheduled_classes(
    p_as_of, coalesce(p_not_before, (select s.not_before from class_activation.settings s)), p_max_classes
  ) r;
  delete from class_activation.runs r
  where p_tick
    and r.started_at >= now()
    and r.finished_at is not null
    and (r.classes_activated, r.enrollments_backfilled, r.classes_failed, r.classes_skipped) = (0, 0, 0, 0);
end;
$function$;

revoke execute on function class_activation.run(timestamptz, time, integer, boolean) from public;

comment on function class_activation.run(timestamptz, time, integer, boolean) is
'Stand-in.';
