-- Undoes a run class by class, unless something was written since: a class that was changed or locked stays as it is. The
-- run's own rows are recognized by the values that it recorded.
create or replace function class_activation.revert(p_run_id bigint, p_class_ids integer[] default null)
returns table (class_id integer, enrollments_reverted bigint, enrollments_kept bigint, outcome text)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set row_security = off
set lock_timeout = '1ms'
set jit = off
-- arrays and CTEs have no statistics, so thousands of enrollments would be joined row by row
set enable_nestloop = off
as $function$
#variable_conflict use_column
declare
  v_user_id integer;
  v_not_before time;
  v_run_id bigint;
  v_found integer[];
  v_locked integer[];
  v_unchanged integer[];
  v_class_ids integer[];
  v_enrollment_ids integer[];
  v_enrollment_classes integer[];
  v_all_written boolean;
begin
  select r.not_before into v_not_before from class_activation.runs r where r.id = p_run_id and r.reverts is null;
  if not found then
    raise exception using errcode = 'P0002',
      message = format('run %s does not exist or cannot be reverted', coalesce(p_run_id::text, 'null')),
      hint = 'Choose one from class_activation.runs in which reverts is null; runs are kept for 90 days.';
  end if;
  perform class_activation_internal.lock_platform();
  v_user_id := class_activation.batch_user();
  insert into class_activation.runs (started_at, as_of, not_before, called_by, reverts)
  values (clock_timestamp(), now(), v_not_before, session_user, p_run_id)
  returning id into v_run_id;
  v_found := array(
    select a.class_id from class_activation.activations a
    where a.run_id = p_run_id and a.reverted_by is null and (p_class_ids is null or a.class_id = any (p_class_ids))
  );
  v_locked := class_activation_internal.lock_classes(v_found, null, false);
  v_unchanged := array(
    select c.class_id
    from class_activation_internal.classes(v_locked) c
    join class_activation.activations a on a.run_id = p_run_id and a.class_id = c.class_id
    where c.live_status = 'Active'
      and array_position(a.updated_at_values, c.updated_at) is not null
      and array_position(a.update_user_ids, c.update_user_id) is not null
  );

  -- the enrollments that still have the values of the run, without the classes in which one is locked
  execute class_activation_internal.platform_sql($sql$
    with own as materialized (
      select e.id, e.{class_column} as class_id
      from class_activation.activations a
      cross join unnest(a.enrollment_ids) i (id)
      join {enrollments} e on e.id = i.id and e.{class_column} = a.class_id
      where a.run_id = $1
        and a.class_id = any ($2) and e.{class_column} = any ($2)
        and e.enrollment_status = 'Enrolled' and e.enrolled_at is not null and e.deleted_at is null
        and array_position(a.enrolled_at_values, e.enrolled_at) is not null
        and array_position(a.updated_at_values, e.updated_at) is not null
        and array_position(a.update_user_ids, e.update_user_id) is not null
    ), locked as materialized (
      select e.id from {enrollments} e
      where e.id = any (array(select o.id from own o)) and e.enrolled_at is not null and e.enrollment_status = 'Enrolled'
      for no key update skip locked
    ), partly_locked as materialized (
      select o.class_id from own o where o.id not in (select l.id from locked l)
    )
    select array(select u.id from unnest($2) u (id) where u.id not in (select p.class_id from partly_locked p) order by u.id),
      coalesce(array_agg(o.id), '{}'), coalesce(array_agg(o.class_id), '{}')
    from own o
    where o.class_id not in (select p.class_id from partly_locked p)
  $sql$)
  into v_class_ids, v_enrollment_ids, v_enrollment_classes
  using p_run_id, v_unchanged;

  perform class_activation_internal.write_status(v_class_ids, 'Active', 'Scheduled', v_user_id);
  perform class_activation_internal.execute_as_application(class_activation_internal.platform_sql(
    'update {enrollments} set enrolled_at = null, updated_at = pg_catalog.now(), update_user_id = $2'
      || ' where id operator(pg_catalog.=) any ($1)'
  ), v_enrollment_ids, v_user_id);
  perform class_activation_internal.fire_deferred_triggers();
  execute class_activation_internal.platform_sql($sql$
    select not exists (
        select from {enrollments} e where e.id = any ($1) and e.enrolled_at is not null and e.deleted_at is null)
      and cardinality($2)
        = (select count(*) from class_activation_internal.classes($2) c where c.live_status = 'Scheduled')
  $sql$)
  into v_all_written
  using v_enrollment_ids, v_class_ids;
  if not v_all_written then
    raise exception using errcode = '55000',
      message = format('run %s could not be reverted: a class or an enrollment was not updated', p_run_id),
      hint = 'Nothing was changed. Look for a before trigger, a rule or a row security policy on the platform''s classes'
        || ' and enrollments, or pass p_class_ids without the class in question.';
  end if;

  execute class_activation_internal.platform_sql($sql$
    insert into class_activation.holds (class_id, run_id, history_id, since, start_dt, status)
    select c.class_id, $1, coalesce((select max(h.id) from {history} h), 0), now(), c.start_dt, 'Scheduled'
    from class_activation_internal.classes($2) c
    on conflict (class_id) do update
    set (run_id, history_id, since, start_dt, status)
      = (excluded.run_id, excluded.history_id, excluded.since, excluded.start_dt, excluded.status)
  $sql$)
  using v_run_id, v_class_ids;

  update class_activation.activations a set reverted_by = v_run_id
  where a.run_id = p_run_id and a.class_id = any (v_class_ids);
  update class_activation.runs r set finished_at = clock_timestamp() where r.id = v_run_id;

  return query
  with reverted as materialized (
    select e.class_id, count(*) as enrollments from unnest(v_enrollment_classes) e (class_id) group by e.class_id
  )
  select a.class_id, coalesce(r.enrollments, 0),
    case when a.class_id = any (v_class_ids) then cardinality(a.enrollment_ids) - coalesce(r.enrollments, 0) else 0 end,
    case
      when a.class_id = any (v_class_ids) then 'reverted'
      when a.class_id <> all (v_found) then 'already reverted'
      when a.class_id = any (v_unchanged) or a.class_id <> all (v_locked) and c.live_status = 'Active' then 'locked'
      else 'changed since'
    end
  from class_activation.activations a
  left join class_activation_internal.classes(v_found) c on c.class_id = a.class_id
  left join reverted r on r.class_id = a.class_id
  where a.run_id = p_run_id and (p_class_ids is null or a.class_id = any (p_class_ids))
  order by a.class_id;
end;
$function$;
comment on function class_activation.revert(bigint, integer[]) is
'Reverts the run p_run_id, or of it only p_class_ids: its classes are Scheduled again, and the enrollments that it
backfilled, late ones included, lose their enrolled_at. One row for each class of the run, with its outcome:
  reverted          Scheduled again; enrollments_reverted lost their enrolled_at, and enrollments_kept did not, because
                    they were changed after the run
  changed since     the class was changed after the run, and stays as it is
  locked            another session has locked the class or one of its enrollments; repeat later
  already reverted  by an earlier call
Recorded as a run (runs.reverts). A reverted class is on hold: it is not activated again before its start date or status
changes, or class_activation.release(class_id) is called.
Errors: P0002 there is no such run, or no live user system_batch; 55000 a row was not updated, and nothing was changed;
55P03 the platform is locked.';
