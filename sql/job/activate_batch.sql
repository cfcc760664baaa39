-- One batch, all together or not at all. The second look is a statement of its own: under the lock, a statement
-- that had begun before it would still see the rows as they were.
create or replace function class_activation.activate_batch(
  p_run_id bigint,
  p_class_ids integer[],
  p_as_of timestamptz,
  p_not_before time,
  p_author integer,
  out activated integer,
  out backfilled bigint,
  out skipped integer
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
as $function$
declare
  v_locked constant integer[] := class_activation.lock_classes(p_class_ids, 'Scheduled');
  v_class_ids integer[];
  v_facility_ids integer[];
  v_due_at timestamptz[];
  v_written class_activation.late_enrollments[];
  v_logged bigint;
begin
  select
    coalesce(array_agg(s.class_id) filter (where l.class_id is not null), '{}'),
    array_agg(s.facility_id) filter (where l.class_id is not null),
    array_agg(s.due_at) filter (where l.class_id is not null),
    (count(*) filter (where l.class_id is null))::integer
  into v_class_ids, v_facility_ids, v_due_at, skipped
  from class_activation.plan(p_as_of, p_not_before, p_class_ids) s
  left join unnest(v_locked) l (class_id) on l.class_id = s.class_id
  where s.due;

  activated := cardinality(v_class_ids);
  backfilled := 0::bigint;
  if activated = 0 then
    return;
  end if;

  -- in the order in which the application writes; what the platform's triggers have dated then is not pending
  perform class_activation.write_status(v_class_ids, 'Scheduled', 'Active', p_author);
  v_written := array(select w from class_activation.write_enrolled_at(p_run_id, v_class_ids, p_as_of, p_author) w);

  with logged as (
    insert into class_activation.activations (
      run_id, class_id, facility_id, due_at, activated_at, enrollments_backfilled,
      enrollment_ids, enrolled_at, updated_at, update_user_id
    )
    select p_run_id, d.class_id, d.facility_id, d.due_at, now(), coalesce(cardinality(w.enrollment_ids), 0),
      coalesce(w.enrollment_ids, '{}'), coalesce(w.enrolled_at, '{}'),
      case when c.updated_at = any (w.updated_at) then w.updated_at else w.updated_at || c.updated_at end,
      case when c.update_user_id = any (w.update_user_id) then w.update_user_id else w.update_user_id || c.update_user_id end
    from unnest(v_class_ids, v_facility_ids, v_due_at) d (class_id, facility_id, due_at)
    join class_activation.live_classes('Active', v_class_ids) c on c.class_id = d.class_id
    left join unnest(v_written) w on w.class_id = d.class_id
    returning activations.enrollments_backfilled
  )
  select count(*), coalesce(sum(l.enrollments_backfilled), 0)::bigint into v_logged, backfilled from logged l;

  if v_logged <> activated then
    raise exception using
      errcode = '55000',
      message = 'the update left the class as it was',
      hint = 'Look for a before trigger, a rule or a row security policy on the platform''s classes.';
  end if;

  delete from class_activation.problems p where p.class_id = any (v_class_ids);
end;
$function$;

revoke execute on function class_activation.activate_batch(bigint, integer[], timestamptz, time, integer) from public;

comment on function class_activation.activate_batch(bigint, integer[], timestamptz, time, integer) is
'Part of the job: activates those of p_class_ids that are due at p_as_of and that no other session has locked, with
their pending enrollments, in the name of p_author and on behalf of the run p_run_id. Returns how many it activated,
how many enrollments it backfilled, and how many due classes it skipped. Any error undoes the whole batch.
Errors: 55000 a row did not take the update; and what the platform raises.';
