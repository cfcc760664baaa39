create or replace function class_activation.activate_scheduled_classes(
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
comment on function class_activation.activate_scheduled_classes(timestamptz, time, integer) is
'Makes every Scheduled class Active that is due at its facility, and sets the enrolled_at of its enrolled residents. Safe to
call at any time, by any number of sessions at once, also while the job is paused.
  p_as_of        act as of this time (default now()); it may be in the past, not in the future
  p_not_before   local time of day at which a class starts on its start date (default: that of class_activation.settings,
                 as for pg_cron; 00:00: every class whose start date has arrived)
  p_max_classes  activate at most this many classes, earliest due first (default all)
Returns one row for each class that this call activated. A class that another session has locked is skipped until the
next run; one that fails, or whose time zone is unknown, is recorded in class_activation.problems. Under a
statement_timeout or transaction_timeout the call ends in time with what it has done; the next one continues.
Errors: 22023 an argument is out of range; P0002 there is no live user system_batch; 55000 unsupported platform schema, or
settings has no row; 55P03 a table of the platform is locked; 42501 row security hides rows of the platform.';
