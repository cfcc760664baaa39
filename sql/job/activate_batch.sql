-- One batch, all or nothing. The recheck is a separate statement: it needs a snapshot taken after the lock.
create or replace function class_activation_internal.activate_batch(
  p_run_id bigint,
  p_class_ids integer[],
  p_as_of timestamptz,
  p_not_before time,
  p_user_id integer,
  p_lock_enrollments boolean,
  out activated integer,
  out backfilled bigint,
  out skipped integer[]
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
as $function$
declare
  v_locked integer[] := class_activation_internal.lock_classes(p_class_ids, 'Scheduled');
  v_class_ids integer[];
  v_facility_ids integer[];
  v_due_at timestamptz[];
  v_activations class_activation.activations[];
  v_logged bigint;
begin
  if p_lock_enrollments then
    v_locked := array(
      select l.class_id
      from class_activation_internal.lock_enrollments(v_locked) e
      cross join unnest(v_locked) l (class_id)
      where l.class_id <> all (e.locked_class_ids)
    );
  end if;
  select
    coalesce(array_agg(s.class_id) filter (where l.class_id is not null), '{}'),
    array_agg(s.facility_id) filter (where l.class_id is not null),
    array_agg(s.due_at) filter (where l.class_id is not null),
    coalesce(array_agg(s.class_id) filter (where l.class_id is null), '{}')
  into v_class_ids, v_facility_ids, v_due_at, skipped
  from class_activation_internal.evaluate_classes(p_as_of, p_not_before, p_class_ids) s
  left join unnest(v_locked) l (class_id) on l.class_id = s.class_id
  where s.due;

  activated := cardinality(v_class_ids);
  backfilled := 0::bigint;
  if activated = 0 then
    return;
  end if;

  -- in the order of the application; enrollments that a trigger of the platform backfills here are not pending any more
  perform class_activation_internal.write_status(v_class_ids, 'Scheduled', 'Active', p_user_id);

  v_activations := array(
    select (
      p_run_id, d.class_id, d.facility_id, d.due_at, now(), coalesce(cardinality(w.enrollment_ids), 0), null,
      coalesce(w.enrollment_ids, '{}'), coalesce(w.enrolled_at_values, '{}'), w.updated_at_values, w.update_user_ids
    )::class_activation.activations
    from unnest(v_class_ids, v_facility_ids, v_due_at) d (class_id, facility_id, due_at)
    left join class_activation_internal.write_enrolled_at(v_class_ids, p_as_of, p_user_id) w on w.class_id = d.class_id
  );

  -- a separate statement, which sees what the triggers of the platform made of the classes
  with logged as (
    insert into class_activation.activations
    select a.run_id, a.class_id, a.facility_id, a.due_at, a.activated_at, a.enrollments_backfilled, a.reverted_by,
      a.enrollment_ids, a.enrolled_at_values,
      case when c.updated_at = any (a.updated_at_values) then a.updated_at_values
        else a.updated_at_values || c.updated_at end,
      case when c.update_user_id = any (a.update_user_ids) then a.update_user_ids
        else a.update_user_ids || c.update_user_id end
    from unnest(v_activations) a
    join class_activation_internal.classes(v_class_ids) c on c.class_id = a.class_id
    where c.live_status = 'Active'
    returning activations.enrollments_backfilled
  )
  select count(*), coalesce(sum(l.enrollments_backfilled), 0)::bigint into v_logged, backfilled from logged l;

  if v_logged <> activated then
    raise exception using
      errcode = '55000',
      message = 'the UPDATE did not change the class',
      hint = 'Look for a before trigger, a rule or a row security policy on the platform''s classes.';
  end if;

  delete from class_activation.problems p where p.class_id = any (v_class_ids);
end;
$function$;

comment on function class_activation_internal.activate_batch(bigint, integer[], timestamptz, time, integer, boolean) is
'Part of the job: activates those of p_class_ids that are due at p_as_of and that no other session has locked, with their
pending enrollments, in the name of p_user_id and for the run p_run_id. p_lock_enrollments: lock these first, and skip a
class of which another session has locked one. Returns the number of classes activated and of enrollments backfilled,
and the due classes skipped. Any error undoes the whole batch.
Errors: 55P03 a lock was met; 55000 a row was not updated; and what the platform raises.';
