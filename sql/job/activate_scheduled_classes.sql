-- The job. A run plans once (plan), then works off three lists in batches (work_off): classes that are due, late
-- enrollments of classes that it activated before, and classes that failed in an earlier run. Each batch is one
-- subtransaction, in which activate_batch locks, looks again and writes.
create or replace function class_activation.activate_scheduled_classes(
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
set row_security = off
set lock_timeout = '2s'
set jit = off
as $function$
declare
  v_started_at constant timestamptz := clock_timestamp();
  v_author integer;
  v_run_id bigint;
  -- of many zones or dates that are wrong at once, a run records so many
  v_recorded_at_once constant integer := 300;
  v_due integer[];
  v_failed_before integer[];
  v_broken integer[];
  v_settled integer[];
  v_late integer[];
  v_first record;
  v_second record;
  v_third record;
  v_failed integer;
  v_skipped integer;
  v_run class_activation.runs;
begin
  if p_as_of is null or p_as_of < '0001-01-01' or p_as_of > clock_timestamp() then
    raise exception using
      errcode = '22023',
      message = format('p_as_of must be an instant that has come, not %s', coalesce(p_as_of::text, 'null')),
      hint = 'Leave p_as_of out for now; class_activation.preview(p_as_of) shows what a later run would do.';
  elsif p_not_before is null then
    raise exception using
      errcode = '22023',
      message = 'p_not_before must be a local time of day, not null',
      hint = 'Leave p_not_before out for the whole start date, or pass a time such as ''05:00''.';
  elsif p_max_classes < 1 then
    raise exception using
      errcode = '22023',
      message = format('p_max_classes must be at least 1, not %s', p_max_classes),
      hint = 'Leave p_max_classes out to activate all that is due.';
  end if;

  perform class_activation.lock_platform();
  v_author := class_activation.batch_user();
  insert into class_activation.runs (started_at, as_of, not_before, called_by)
  values (v_started_at, p_as_of, p_not_before, session_user)
  returning id into v_run_id;

  select
    coalesce(array_agg(s.class_id order by s.due_at, s.class_id) filter (where s.due and p.class_id is null), '{}'),
    coalesce(array_agg(s.class_id order by p.last_seen_at, s.class_id) filter (where s.due and p.class_id is not null), '{}'),
    coalesce(array_agg(s.class_id) filter (where s.problem is not null and s.problem is distinct from p.message), '{}'),
    coalesce(array_agg(p.class_id) filter (where s.class_id is null), '{}'),
    count(s.problem)::integer
  into v_due, v_failed_before, v_broken, v_settled, v_failed
  from (
    select s.class_id, s.due, s.due_at, s.problem
    from class_activation.plan(p_as_of, p_not_before) s
    where s.due
      or s.problem_sqlstate is not null
  ) s
  full join class_activation.problems p on p.class_id = s.class_id;

  if v_broken <> '{}' then
    perform class_activation.record_problems(
      array_agg(s.class_id), array_agg(s.problem_sqlstate), array_agg(s.problem)
    )
    from class_activation.plan(p_as_of, p_not_before, v_broken[:v_recorded_at_once]) s
    where s.problem_sqlstate is not null;
  end if;

  v_first := class_activation.work_off('activate', v_run_id, v_due, p_as_of, p_not_before, v_author, p_max_classes);

  v_late := class_activation.late_classes(v_settled);
  v_second := class_activation.work_off('backfill', v_run_id, v_late, p_as_of, p_not_before, v_author);

  v_third := class_activation.work_off(
    'activate', v_run_id, v_failed_before, p_as_of, p_not_before, v_author, p_max_classes - v_first.activated, true
  );

  if v_settled <> '{}' then
    -- what is neither due nor broken nor late any more has no problem
    delete from class_activation.problems p
    where p.class_id = any (array(
      select q.class_id
      from class_activation.problems q
      where q.class_id = any (v_settled)
        and q.class_id <> all (v_late)
      for update skip locked
    ));
  end if;
  if exists (select from class_activation.holds) then
    -- a hold that has ended once stays ended
    delete from class_activation.holds h
    where h.class_id = any (array(
      select q.class_id
      from class_activation.holds q
      where not exists (select from class_activation.current_holds() c where c.class_id = q.class_id)
      for update skip locked
    ));
  end if;

  v_failed := v_failed + v_first.failed + v_second.failed
    + cardinality(v_failed_before) - v_third.activated - v_third.skipped;
  v_skipped := v_first.skipped + v_second.skipped + v_third.skipped;
  update class_activation.runs r
  set finished_at = clock_timestamp(),
    classes_activated = v_first.activated + v_third.activated,
    enrollments_backfilled = v_first.backfilled + v_second.backfilled + v_third.backfilled,
    classes_failed = v_failed,
    classes_skipped = v_skipped
  where r.id = v_run_id
  returning r.* into v_run;

  perform class_activation.announce(v_run);

  if v_run.classes_activated > 0 then
    return query
    select a.class_id, a.facility_id, c.class_name, c.start_dt, a.due_at, a.enrollments_backfilled
    from class_activation.activations a
    join class_activation.class_details(
      array(select b.class_id from class_activation.activations b where b.run_id = v_run_id)
    ) c on c.class_id = a.class_id
    where a.run_id = v_run_id
    order by a.due_at, a.class_id;
  end if;
end;
$function$;

revoke execute on function class_activation.activate_scheduled_classes(timestamptz, time, integer) from public;

comment on function class_activation.activate_scheduled_classes(timestamptz, time, integer) is
'Makes every Scheduled class Active whose start has come on the clock of its own facility, and gives its enrolled
residents their enrolled_at. Safe to call at any time, by any number of sessions at once.
  p_as_of        the instant to act for (default now()); may lie in the past, not in the future
  p_not_before   local time of day from which a class that starts that day counts (default 00:00; pg_cron passes
                 the hour of class_activation.settings)
  p_max_classes  activate at most so many, earliest due first (default all)
Returns one row for each class that this call activated. A class that another session has locked is skipped until
the next run; one that fails, or whose time zone is unknown, is recorded in class_activation.problems. Under a
statement_timeout the call ends in time with what it has done; the next one goes on.
Errors: 22023 an argument is out of range; P0002 there is no live user system_batch; 55000 the platform has another
shape than this version knows; 55P03 the platform''s table is locked; 42501 row security hides rows of the platform.';
