-- Computed from the platform's rows and not from pg_cron's, so that it is true even when that is dead.
create function class_activation.health(
  p_not_before time default '05:00',
  p_grace interval default '1 hour'
)
returns table (
  status text,
  last_run_at timestamptz,
  seconds_since_last_run bigint,
  overdue_classes bigint,
  oldest_overdue_seconds bigint,
  problem_classes bigint,
  unknown_timezones bigint,
  next_due_at timestamptz,
  classes_activated_24h bigint,
  enrollments_backfilled_24h bigint,
  job_active boolean
)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
  v_now constant timestamptz := now();
begin
  if p_not_before is null or p_grace is null then
    raise exception using
      errcode = '22023',
      message = 'neither p_not_before nor p_grace may be null',
      hint = 'Leave them out for 05:00 and one hour.';
  end if;

  select max(r.started_at) into last_run_at from class_activation.runs r where r.reverts is null;
  seconds_since_last_run := extract(epoch from v_now - last_run_at)::bigint;

  select count(*), coalesce(extract(epoch from v_now - min(s.due_at)), 0)::bigint
  into overdue_classes, oldest_overdue_seconds
  from class_activation.scheduled_classes(v_now, p_not_before) s
  where s.due
    and v_now - s.due_at > p_grace;

  select count(*) into problem_classes from class_activation.problems p;

  select count(distinct coalesce(f.timezone, ''))
  into unknown_timezones
  from public.facilities f
  cross join lateral class_activation.rule(v_now::date, f.timezone, v_now, p_not_before) r
  where f.deleted_at is null
    and r.problem_sqlstate is not null;

  -- with the first start date after tomorrow, and the day after it: zones are a day apart
  select min(s.due_at)
  into next_due_at
  from class_activation.scheduled_classes(v_now, p_not_before, null, (
    select coalesce(min(c.start_dt), v_now::date) + 1
    from public.program_classes c
    where c.status = 'Scheduled'
      and num_nulls(c.archived_at, c.deleted_at) = 2
      and c.start_dt > v_now::date + 1
  )) s
  where s.due_at > v_now;

  select count(*) into classes_activated_24h
  from class_activation.activations a
  where a.activated_at > v_now - interval '24 hours'
    and a.reverted_by is null;

  select coalesce(sum(r.enrollments_backfilled), 0)::bigint into enrollments_backfilled_24h
  from class_activation.runs r
  where r.started_at > v_now - interval '24 hours';

  if class_activation.may_use_pg_cron() then
    select coalesce(bool_or(j.active), false)
    into job_active
    from cron.job j
    where j.jobname = 'activate_scheduled_classes'
      and j.database = current_database();
  end if;

  status := case
    when overdue_classes > 0 then 'critical'
    when problem_classes > 0 or unknown_timezones > 0 or job_active is false
      or last_run_at is null or v_now - last_run_at > p_grace then 'warning'
    else 'ok'
  end;
  return next;
end;
$function$;

revoke execute on function class_activation.health(time, interval) from public;

comment on function class_activation.health(time, interval) is
'One row for monitoring. status is critical when classes are overdue: due for longer than p_grace (default
one hour), counting from the local time of day p_not_before (default 05:00), and still Scheduled; warning
when the job has not run within p_grace, is not active in pg_cron (null: in another database), or left a
problem, or when a facility has an unknown time zone; else ok. Times in seconds.
Errors: 22023 an argument is null.';
