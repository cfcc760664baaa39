-- Takes back what a run gave, class by class, as far as nothing was built on it: a class that was written since
-- stays as it is, and so does a class of which any row is locked. Own rows are recognised by what was recorded.
create or replace function class_activation.revert(p_run_id bigint, p_class_ids integer[] default null)
returns table (class_id integer, enrollments_reverted bigint, outcome text)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set row_security = off
set lock_timeout = '2s'
set jit = off
as $function$
#variable_conflict use_column
declare
  v_author integer;
  v_reverted class_activation.runs;
  v_run_id bigint;
  v_found integer[];
  v_locked integer[];
  v_unchanged integer[];
  v_half_locked integer[];
  v_class_ids integer[];
  v_enrollment_ids integer[];
  v_enrollment_classes integer[];
begin
  select r.* into v_reverted from class_activation.runs r where r.id = p_run_id and r.reverts is null;
  if not found then
    raise exception using
      errcode = 'P0002',
      message = format('there is no run %s that could be taken back', coalesce(p_run_id::text, 'null')),
      hint = 'Choose one from class_activation.runs in which reverts is null; runs are kept for 90 days.';
  end if;
  perform class_activation.lock_platform();
  v_author := class_activation.batch_user();

  insert into class_activation.runs (started_at, as_of, not_before, called_by, reverts)
  values (clock_timestamp(), now(), v_reverted.not_before, session_user, p_run_id)
  returning id into v_run_id;

  v_found := array(
    select a.class_id
    from class_activation.activations a
    where a.run_id = p_run_id
      and a.reverted_by is null
      and (p_class_ids is null or a.class_id = any (p_class_ids))
  );
  v_locked := class_activation.lock_classes(v_found, null, 'no key update');
  v_unchanged := array(
    select c.class_id
    from class_activation.live_classes('Active', v_locked) c
    join class_activation.activations a on a.run_id = p_run_id and a.class_id = c.class_id
    where array_position(a.updated_at, c.updated_at) > 0
      and array_position(a.update_user_id, c.update_user_id) > 0
  );

  -- the enrollments that this run dated, and later runs as late ones, and that were not written since
  with given as materialized (
    select a.class_id, a.enrollment_ids, a.enrolled_at, a.updated_at, a.update_user_id
    from class_activation.activations a
    where a.run_id = p_run_id
      and a.class_id = any (v_unchanged)
    union all
    select a.class_id, l.enrollment_ids, l.enrolled_at, l.updated_at, l.update_user_id
    from class_activation.activations a
    join class_activation.late_enrollments l on l.class_id = a.class_id and l.run_id > a.run_id
    where a.run_id = p_run_id
      and a.class_id = any (v_unchanged)
  ), own as materialized (
    select e.*
    from given g
    cross join unnest(g.enrollment_ids) i (id)
    join class_activation.dated_enrollments(
      array(select j.id from given h cross join unnest(h.enrollment_ids) j (id)), false
    ) e on e.enrollment_id = i.id
    where e.class_id = g.class_id
      and array_position(g.enrolled_at, e.enrolled_at) > 0
      and array_position(g.updated_at, e.updated_at) > 0
      and array_position(g.update_user_id, e.update_user_id) > 0
  ), locked as materialized (
    select e.* from class_activation.dated_enrollments(array(select o.enrollment_id from own o), true) e
  )
  select
    coalesce(array_agg(o.enrollment_id) filter (where l = o), '{}'),
    coalesce(array_agg(o.class_id) filter (where l = o), '{}'),
    coalesce(array_agg(distinct o.class_id) filter (where l.enrollment_id is null), '{}')
  into v_enrollment_ids, v_enrollment_classes, v_half_locked
  from own o
  left join locked l on l.enrollment_id = o.enrollment_id;

  v_class_ids := array(select u.id from unnest(v_unchanged) u (id) where u.id <> all (v_half_locked) order by u.id);
  v_enrollment_ids := array(
    select e.id
    from unnest(v_enrollment_ids, v_enrollment_classes) e (id, class_id)
    where e.class_id <> all (v_half_locked)
  );

  perform class_activation.write_status(v_class_ids, 'Active', 'Scheduled', v_author);
  perform class_activation.clear_enrolled_at(v_enrollment_ids, v_author);
  perform class_activation.fire_deferred_triggers();

  if cardinality(v_class_ids) <> (select count(*) from class_activation.live_classes('Scheduled', v_class_ids))
    or exists (select from class_activation.dated_enrollments(v_enrollment_ids, false))
  then
    raise exception using
      errcode = '55000',
      message = format('run %s could not be taken back: a class or an enrollment did not take the update', p_run_id),
      hint = 'Nothing was changed. Look for a before trigger, a rule or a row security policy on the platform''s classes'
        || ' and enrollments, or pass p_class_ids without the class in question.';
  end if;

  insert into class_activation.holds (class_id, run_id, history_id, since, start_dt, status)
  select c.class_id, v_run_id, class_activation.newest_history_id(), now(), c.start_dt, 'Scheduled'
  from class_activation.live_classes('Scheduled', v_class_ids) c
  on conflict (class_id) do update
  set run_id = excluded.run_id,
    history_id = excluded.history_id,
    since = excluded.since,
    start_dt = excluded.start_dt,
    status = excluded.status;

  update class_activation.activations a
  set reverted_by = v_run_id
  where a.run_id = p_run_id
    and a.class_id = any (v_class_ids);
  update class_activation.runs r set finished_at = clock_timestamp() where r.id = v_run_id;

  return query
  select a.class_id,
    case when a.class_id = any (v_class_ids) then
      (select count(*) from unnest(v_enrollment_classes) e (class_id) where e.class_id = a.class_id)
    else 0 end,
    case
      when a.class_id = any (v_class_ids) then 'reverted'
      when a.class_id <> all (v_found) then 'already reverted'
      when a.class_id = any (v_half_locked) then 'locked'
      when a.class_id <> all (v_locked)
        and exists (select from class_activation.live_classes('Active', array[a.class_id])) then 'locked'
      else 'changed since'
    end
  from class_activation.activations a
  where a.run_id = p_run_id
    and (p_class_ids is null or a.class_id = any (p_class_ids))
  order by a.class_id;
end;
$function$;

revoke execute on function class_activation.revert(bigint, integer[]) from public;

comment on function class_activation.revert(bigint, integer[]) is
'Takes the run p_run_id back, or of it only p_class_ids: its classes are Scheduled again, and the enrollments that it
dated, and later runs as late ones of these classes, lose their enrolled_at. One row for each class of the run, with
its outcome:
  reverted          taken back, with so many enrollments (enrollments_reverted)
  changed since     the class was written after the run, and stays as it is
  locked            another session has locked the class or one of its enrollments; repeat later
  already reverted  an earlier call took it back
An enrollment that was written after the run keeps its enrolled_at. Recorded as a run of its own (runs.reverts).
A class taken back is on hold: it is not activated again before its start date or status is changed, or
class_activation.release(class_id) is called.
Errors: P0002 there is no such run, or no live user system_batch; 55000 a row did not take the update, and nothing was
changed; 55P03 a table of the platform is locked.';
