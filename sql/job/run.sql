-- The job, and the file to read first. A run evaluates the rule once, sorts the classes into lists and processes these
-- in batches (run_in_batches). Each batch is one subtransaction, in which activate_batch locks the classes, evaluates
-- them again and writes.
create or replace function class_activation_internal.run(
  p_as_of timestamptz, p_not_before time, p_max_classes integer, p_tick boolean
)
returns table (
  class_id integer, facility_id integer, class_name text, start_dt date, due_at timestamptz,
  enrollments_backfilled bigint
)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set row_security = off
set lock_timeout = '2s'
set jit = off
as $function$
declare
  v_run class_activation.runs;
  v_user_id integer;
  v_lists record;
  v_late integer[];
begin
  v_run.started_at := clock_timestamp();
  if p_as_of is null or p_as_of < '0001-01-01' or p_as_of > clock_timestamp() then
    raise exception using errcode = '22023',
      message = format('p_as_of must not be null, in the future or before the year 1 (%s)', coalesce(p_as_of::text, 'null')),
      hint = 'Omit p_as_of to use the current time. To see what a future run would do, call'
        || ' class_activation.preview(p_as_of).';
  elsif p_max_classes < 1 then
    raise exception using errcode = '22023',
      message = format('p_max_classes must be at least 1 (%s)', p_max_classes),
      hint = 'Omit p_max_classes to activate all classes that are due.';
  end if;
  perform class_activation_internal.lock_platform();
  v_user_id := class_activation.batch_user();
  select nextval('class_activation.runs_id_seq'), p_as_of,
    coalesce(p_not_before, (select s.not_before from class_activation.settings s)), session_user, 0, 0::bigint, 0, 0
  into v_run.id, v_run.as_of, v_run.not_before, v_run.called_by, v_run.classes_activated, v_run.enrollments_backfilled,
    v_run.classes_skipped, v_run.classes_left;

  select
    -- to activate, earliest first
    coalesce(array_agg(c.class_id order by c.due_at, c.class_id) filter (where c.due and p.class_id is null), '{}') as due,
    -- due, but an earlier run failed to activate them; least recently tried first
    coalesce(array_agg(c.class_id order by p.last_seen_at, c.class_id) filter (where c.due and p.class_id is not null), '{}')
      as failed_before,
    -- recorded as a problem, but no longer due or invalid
    coalesce(array_agg(p.class_id) filter (where c.class_id is null), '{}') as resolved,
    -- the time zone or the start date must be corrected first; of these, the ones not recorded yet, with the reason
    count(c.problem_sqlstate)::integer as invalid,
    array_agg(c.class_id) filter (where c.invalid and c.problem is distinct from p.message) as new_ids,
    array_agg(c.problem_sqlstate) filter (where c.invalid and c.problem is distinct from p.message) as new_sqlstates,
    array_agg(c.problem) filter (where c.invalid and c.problem is distinct from p.message) as new_messages
  into v_lists
  from (
    select s.class_id, s.due, s.due_at, s.problem_sqlstate, s.problem, s.problem_sqlstate is not null as invalid
    from class_activation_internal.evaluate_classes(p_as_of, v_run.not_before) s
    where s.due or s.problem_sqlstate is not null
  ) c
  full join class_activation.problems p on p.class_id = c.class_id;
  v_run.classes_failed := v_lists.invalid;
  if v_lists.new_ids <> '{}' then
    -- if many become invalid at once, the next runs record the rest
    perform class_activation_internal.record_problems(
      v_lists.new_ids[:300], v_lists.new_sqlstates[:300], v_lists.new_messages[:300]
    );
  end if;
  if v_lists.due <> '{}' then
    v_run := class_activation_internal.run_in_batches(v_run, v_lists.due, v_user_id, p_max_classes);
  end if;
  -- activated by an earlier run while a resident was being enrolled
  v_late := class_activation_internal.late_enrollment_classes(v_lists.resolved);
  if v_late <> '{}' then
    v_run := class_activation_internal.run_in_batches(v_run, v_late, v_user_id, p_backfill => true);
  end if;
  if v_lists.failed_before <> '{}' then
    v_run := class_activation_internal.run_in_batches(
      v_run, v_lists.failed_before, v_user_id, p_max_classes, p_failed_before => true
    );
  end if;
  if v_lists.resolved <> '{}' then
    delete from class_activation.problems p
    where p.class_id = any (array(
      select q.class_id from class_activation.problems q
      where q.class_id = any (v_lists.resolved) and q.class_id <> all (v_late)
      for update skip locked
    ));
  end if;
  if exists (select from class_activation.holds) then
    -- a hold that has ended never resumes
    delete from class_activation.holds h
    where h.class_id = any (array(
      select q.class_id from class_activation.holds q
      where not exists (select from class_activation_internal.current_holds() c where c.class_id = q.class_id)
      for update skip locked
    ));
  end if;
  v_run.finished_at := clock_timestamp();
  -- a tick that found nothing to do leaves no row
  if not p_tick or greatest(v_run.classes_activated, v_run.enrollments_backfilled, v_run.classes_failed,
    v_run.classes_skipped, v_run.classes_left) > 0
  then
    insert into class_activation.runs overriding system value select v_run.*;
  end if;
  if v_run.classes_failed > 0 then
    raise warning using
      message = case v_run.classes_failed when 1 then '1 class has a problem'
        else format('%s classes have problems', v_run.classes_failed) end,
      hint = 'select * from class_activation.problems shows why and what to do.';
  end if;
  if v_run.classes_skipped > 0 then
    raise notice 'skipped % due % locked by other sessions; the next run retries', v_run.classes_skipped,
      case v_run.classes_skipped when 1 then 'class' else 'classes' end;
  end if;
  if v_run.classes_left > 0 then
    raise notice 'stopped before the timeout with % % left; the next run continues', v_run.classes_left,
      case v_run.classes_left when 1 then 'class' else 'classes' end;
  end if;
  -- a full queue would undo the run at commit
  if (v_run.classes_activated > 0 or v_run.classes_failed > 0) and pg_notification_queue_usage() < 0.5 then
    perform pg_notify('class_activation', json_build_object('run_id', v_run.id, 'classes_activated', v_run.classes_activated,
      'enrollments_backfilled', v_run.enrollments_backfilled, 'classes_failed', v_run.classes_failed)::text);
  end if;
  if v_run.classes_activated > 0 then
    return query
    select a.class_id, a.facility_id, c.class_name, c.start_dt, a.due_at, a.enrollments_backfilled
    from class_activation.activations a
    join class_activation_internal.classes(
      array(select d.class_id from class_activation.activations d where d.run_id = v_run.id)
    ) c on c.class_id = a.class_id
    where a.run_id = v_run.id
    order by a.due_at, a.class_id;
  end if;
end;
$function$;
comment on function class_activation_internal.run(timestamptz, time, integer, boolean) is
'The job behind activate_scheduled_classes and tick. With p_tick it leaves no row in runs if it found nothing to do.';
