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
  -- never before the class was activated
  v_enrolled_at constant timestamptz := greatest(p_as_of, (
    select max(a.activated_at)
    from class_activation.activations a
    where a.class_id = any (v_locked)
      and a.reverted_by is null
  ));
  v_class_ids integer[];
  v_enrollment_ids text[];  -- of each class, an array of integer as text
  v_pending bigint;
  v_logged bigint;
begin
  activated := 0;
  skipped := cardinality(p_class_ids) - cardinality(v_locked);

  select coalesce(array_agg(e.class_id), '{}'), array_agg(e.enrollment_ids::text), coalesce(sum(cardinality(e.enrollment_ids)), 0)
  into v_class_ids, v_enrollment_ids, v_pending
  from class_activation.pending_enrollments(v_locked) e
  join class_activation.live_classes('Active', v_locked) c on c.class_id = e.class_id;

  backfilled := class_activation.write_enrolled_at(v_class_ids, v_enrolled_at, p_author);
  perform class_activation.fire_deferred_triggers();

  insert into class_activation.late_enrollments (run_id, class_id, enrolled_at, enrollment_ids, written_at)
  select p_run_id, w.class_id, v_enrolled_at, e.enrollment_ids::integer[], w.updated_at
  from unnest(v_class_ids, v_enrollment_ids) e (class_id, enrollment_ids)
  join class_activation.written_rows(v_class_ids, p_author) w on w.class_id = e.class_id and w.pending = 0;
  get diagnostics v_logged = row_count;

  if v_logged <> cardinality(v_class_ids) then
    raise exception using
      errcode = '55000',
      message = 'the update left an enrollment without enrolled_at',
      hint = 'Look for a before trigger, a rule or a row security policy on the platform''s enrollments.';
  elsif backfilled <> v_pending then
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
