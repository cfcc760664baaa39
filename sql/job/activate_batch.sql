-- One batch, all or nothing. The recheck is a separate statement: it needs a snapshot taken after the lock.
create or replace function class_activation_internal.activate_batch(
  p_run class_activation.runs, p_class_ids integer[], p_user_id integer, p_lock_enrollments boolean,
  out activated integer, out backfilled bigint, out skipped integer[]
)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $function$
declare
  v_locked constant integer[] := class_activation_internal.lock_classes(p_class_ids, 'Scheduled', p_lock_enrollments);
  v_class_ids integer[];
  v_facility_ids integer[];
  v_due_at timestamptz[];
  v_activations class_activation.activations[];
  v_logged bigint;
begin
  select coalesce(array_agg(s.class_id) filter (where s.locked), '{}'), array_agg(s.facility_id) filter (where s.locked),
    array_agg(s.due_at) filter (where s.locked), coalesce(array_agg(s.class_id) filter (where not s.locked), '{}')
  into v_class_ids, v_facility_ids, v_due_at, skipped
  from (
    select t.class_id, t.facility_id, t.due_at, l.class_id is not null as locked
    from class_activation_internal.evaluate_classes(p_run.as_of, p_run.not_before, p_class_ids) t
    left join unnest(v_locked) l (class_id) on l.class_id = t.class_id
    where t.due
  ) s;

  activated := cardinality(v_class_ids);
  backfilled := 0::bigint;
  if activated = 0 then return; end if;
  -- in the application's order; a trigger of the platform may already backfill enrollments here
  perform class_activation_internal.write_status(v_class_ids, 'Scheduled', 'Active', p_user_id);

  v_activations := array(
    select (
      p_run.id, d.class_id, d.facility_id, d.due_at, now(), coalesce(cardinality(w.enrollment_ids), 0), null,
      coalesce(w.enrollment_ids, '{}'), coalesce(w.enrolled_at_values, '{}'), w.updated_at_values, w.update_user_ids
    )::class_activation.activations
    from unnest(v_class_ids, v_facility_ids, v_due_at) d (class_id, facility_id, due_at)
    left join class_activation_internal.write_enrolled_at(v_class_ids, p_run.as_of, p_user_id) w on w.class_id = d.class_id
  );

  -- a separate statement: its snapshot has what triggers of the platform changed in the classes
  with logged as (
    insert into class_activation.activations
    select a.run_id, a.class_id, a.facility_id, a.due_at, a.activated_at, a.enrollments_backfilled, a.reverted_by,
      a.enrollment_ids, a.enrolled_at_values,
      array(select distinct v from unnest(a.updated_at_values || c.updated_at) v),
      array(select distinct v from unnest(a.update_user_ids || c.update_user_id) v)
    from unnest(v_activations) a
    join class_activation_internal.classes(v_class_ids) c on c.class_id = a.class_id
    where c.live_status = 'Active'
    returning activations.enrollments_backfilled
  )
  select count(*), coalesce(sum(l.enrollments_backfilled), 0)::bigint into v_logged, backfilled from logged l;
  if v_logged <> activated then
    raise exception using errcode = '55000',
      message = 'the UPDATE did not change the class',
      hint = 'Look for a before trigger, a rule or a row security policy on the platform''s classes.';
  end if;
  delete from class_activation.problems p where p.class_id = any (v_class_ids);
end;
$function$;
comment on function class_activation_internal.activate_batch(class_activation.runs, integer[], integer, boolean) is
'Part of the job: activates those of p_class_ids that are due and not locked by another session, with their pending
enrollments, in the name of p_user_id; with p_lock_enrollments also skips a class of which an enrollment is locked.
Returns the numbers of classes activated and enrollments backfilled, and the due classes skipped.
Errors: 55P03 a lock was met; 55000 a row was not updated; any error of the platform.';
