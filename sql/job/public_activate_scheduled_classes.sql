-- For DBAs. pg_cron calls class_activation.tick(), in the schema in which no other role can create an overload.
create or replace function public.activate_scheduled_classes(
  p_as_of timestamptz default now(), p_not_before time default null, p_max_classes integer default null
)
returns table (
  class_id integer, facility_id integer, class_name text, start_dt date, due_at timestamptz,
  enrollments_backfilled bigint
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
  return query select r.* from class_activation_internal.run(p_as_of, p_not_before, p_max_classes, false) r;
end;
$function$;
comment on function public.activate_scheduled_classes(timestamptz, time, integer) is
'Makes every Scheduled class Active that is due at its facility, and sets the enrolled_at of its enrolled residents. Safe to
call at any time, by any number of sessions at once. It is class_activation.activate_scheduled_classes under a short name:
\df+ of that describes the parameters, the result and the errors.';
