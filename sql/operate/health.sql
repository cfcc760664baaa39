-- Computed from the platform's rows, not from pg_cron's log, so it is right even when pg_cron does not run.
create or replace function class_activation.health(p_not_before time default null, p_grace interval default '1 hour')
returns table (
  status text, last_run_at timestamptz, seconds_since_last_run bigint, overdue_classes bigint,
  oldest_overdue_seconds bigint, problem_classes bigint, unknown_timezones bigint, next_due_at timestamptz,
  classes_activated_24h bigint, enrollments_backfilled_24h bigint, job_active boolean, paused_until timestamptz
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set row_security = off
set jit = off
as $function$
begin
  if p_grace is null then
    raise exception using errcode = '22023',
      message = 'p_grace must be an interval (null)',
      hint = 'Omit p_grace for one hour.';
  end if;
  perform class_activation_internal.lock_platform();
  last_run_at := greatest(
    (select max(r.started_at) from class_activation.runs r where r.reverts is null),
    (select max(t.ticked_at) from class_activation.ticks t)
  );
  -- many clients cannot read infinity
  paused_until := (
    select least(s.paused_until, '9999-12-31 00:00Z') from class_activation.settings s where s.paused_until > now()
  );
  seconds_since_last_run := extract(epoch from now() - last_run_at)::bigint;
  -- including invalid zones and dates that no run has recorded yet
  select count(*) filter (where s.overdue),
    coalesce(extract(epoch from now() - min(s.due_at) filter (where s.overdue)), 0)::bigint,
    count(*) filter (where p.class_id is not null or s.problem_sqlstate is not null),
    min(s.due_at) filter (where s.due_at > now() and s.problem is null)
  into overdue_classes, oldest_overdue_seconds, problem_classes, next_due_at
  from (
    -- while the job is paused, no class is overdue
    select t.class_id, t.due_at, t.problem_sqlstate, t.problem,
      t.due and t.due_at < now() - p_grace and paused_until is null as overdue
    from class_activation_internal.evaluate_classes(now(), p_not_before, p_future => true) t
  ) s
  full join class_activation.problems p on p.class_id = s.class_id;

  unknown_timezones := (
    select count(z.problem) from class_activation_internal.facility_timezones() z where z.facilities is not null
  );
  classes_activated_24h := (
    select count(*) from class_activation.activations a
    where a.activated_at > now() - interval '24 hours' and a.reverted_by is null
  );
  enrollments_backfilled_24h := (
    select coalesce(sum(r.enrollments_backfilled), 0)::bigint from class_activation.runs r
    where r.started_at > now() - interval '24 hours'
  );
  job_active := (class_activation_internal.job()).active;

  status := case
    when overdue_classes > 0 then 'critical'
    when paused_until is not null or problem_classes > 0 or unknown_timezones > 0 or job_active is false
      or last_run_at is null or last_run_at < now() - p_grace then 'warning'
    else 'ok'
  end;
  return next;
end;
$function$;
comment on function class_activation.health(time, interval) is
'One row for monitoring. status is critical when classes are overdue: due for longer than p_grace and still Scheduled;
warning when the job is paused (no class is overdue then), has not run within p_grace, is not active in pg_cron or has left
a problem, or when a facility has an unknown time zone; else ok. Times in seconds.
  p_not_before   local time of day at which a class starts on its start date (default: that of class_activation.settings)
  p_grace        how late a class or a run may be (default one hour)
paused_until is null if the job is not paused, and 9999-12-31 for a pause until resume(). job_active is null if unknown:
pg_cron is in another database, or the owner may not read cron.job. Writes nothing, and works on a standby.
Errors: 22023 p_grace is null; 55000 unsupported platform schema, or settings has no row; 55P03 a table of the platform
is locked; 42501 row security hides rows of the platform.';
