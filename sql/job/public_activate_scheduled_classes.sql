-- For DBAs. pg_cron calls the function itself, in the schema in which no other role can create an overload.
create or replace function public.activate_scheduled_classes(
  p_as_of timestamptz default now(),
  p_not_before time default '00:00',
  p_max_classes integer default null
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
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
  return query select r.* from class_activation.activate_scheduled_classes(p_as_of, p_not_before, p_max_classes) r;
end;
$function$;

revoke execute on function public.activate_scheduled_classes(timestamptz, time, integer) from public;

comment on function public.activate_scheduled_classes(timestamptz, time, integer) is
'Makes every Scheduled class Active whose start has come on the clock of its own facility, and gives its enrolled
residents their enrolled_at. Safe to call at any time, by any number of sessions at once.
  p_as_of        the instant to act for (default now()); may lie in the past, not in the future
  p_not_before   local time of day from which a class that starts that day counts (default 00:00)
  p_max_classes  activate at most so many, earliest due first (default all)
Returns one row for each class that this call activated. It is one call of
class_activation.activate_scheduled_classes; \df+ of that says what becomes of the other classes, and the errors.';
