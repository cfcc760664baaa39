create or replace function class_activation.backfill_batch(
  p_run_id bigint,
  p_class_ids integer[],
  p_as_of timestamptz,
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
  v_locked constant integer[] := class_activation.lock_classes(p_class_ids, 'Active');
  v_class_ids integer[];
  v_pending integer[];
  v_group record;
  v_updated bigint := 0::bigint;
  v_logged bigint;
begin
  activated := 0;
  skipped := cardinality(p_class_ids) - cardinality(v_locked);

  select coalesce(array_agg(distinct e.class_id), '{}'), coalesce(array_agg(i.id), '{}')
  into v_class_ids, v_pending
  from class_activation.pending_enrollments(v_locked) e
  join class_activation.live_classes('Active', v_locked) c on c.class_id = e.class_id
  cross join unnest(e.enrollment_ids) i (id);

  for v_group in
    -- never before the class was activated
    select a.enrolled_at, array_agg(a.class_id) as class_ids
    from (
      select b.class_id, greatest(p_as_of, max(b.activated_at)) as enrolled_at
      from class_activation.activations b
      where b.class_id = any (v_class_ids)
        and b.reverted_by is null
      group by b.class_id
    ) a
    group by a.enrolled_at
  loop
    v_updated := v_updated + class_activation.write_enrolled_at(v_group.class_ids, v_group.enrolled_at, p_author);
  end loop;
  perform class_activation.fire_deferred_triggers();

  with logged as (
    insert into class_activation.late_enrollments
      (run_id, class_id, enrollment_ids, enrolled_at, updated_at, update_user_id)
    select p_run_id, w.class_id, w.enrollment_ids, w.enrolled_at, w.updated_at, w.update_user_id
    from class_activation.written_rows(v_class_ids, v_pending) w
    where w.pending = 0
    returning cardinality(late_enrollments.enrollment_ids) as enrollments
  )
  select count(*), coalesce(sum(l.enrollments), 0)::bigint into v_logged, backfilled from logged l;

  if v_logged <> cardinality(v_class_ids) then
    raise exception using
      errcode = '55000',
      message = 'the update left an enrollment without enrolled_at',
      hint = 'Look for a before trigger, a rule or a row security policy on the platform''s enrollments.';
  elsif backfilled > v_updated then
    raise exception using
      errcode = '40001',
      message = 'an enrollment was changed by another session meanwhile',
      hint = 'The next run backfills it.';
  end if;

  delete from class_activation.problems p where p.class_id = any (v_locked);
end;
$function$;

revoke execute on function class_activation.backfill_batch(bigint, integer[], timestamptz, integer) from public;

comment on function class_activation.backfill_batch(bigint, integer[], timestamptz, integer) is
'Part of the job: gives the pending enrollments of p_class_ids, which it activated before, an enrolled_at: p_as_of,
or when the class was activated if that was later. Returns how many, and how many classes it skipped because another
session has locked them. Any error undoes the whole batch.
Errors: 55000 a row did not take the update; 40001 an enrollment was changed meanwhile; and what the platform raises.';
