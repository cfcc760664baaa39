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
  v_group record;
begin
  activated := 0;
  backfilled := 0::bigint;
  skipped := cardinality(p_class_ids) - cardinality(v_locked);

  for v_group in
    -- never before the class was activated
    select a.enrolled_at, array_agg(a.class_id) as class_ids
    from (
      select b.class_id, greatest(p_as_of, max(b.activated_at)) as enrolled_at
      from class_activation.activations b
      join class_activation.live_classes('Active', v_locked) c on c.class_id = b.class_id
      where b.reverted_by is null
      group by b.class_id
    ) a
    group by a.enrolled_at
  loop
    with written as (
      insert into class_activation.late_enrollments
      select w.* from class_activation.write_enrolled_at(p_run_id, v_group.class_ids, v_group.enrolled_at, p_author) w
      returning cardinality(late_enrollments.enrollment_ids) as enrollments
    )
    select backfilled + coalesce(sum(w.enrollments), 0)::bigint into backfilled from written w;
  end loop;

  delete from class_activation.problems p where p.class_id = any (v_locked);
end;
$function$;

revoke execute on function class_activation.backfill_batch(bigint, integer[], timestamptz, integer) from public;

comment on function class_activation.backfill_batch(bigint, integer[], timestamptz, integer) is
'Part of the job: gives the pending enrollments of p_class_ids, which it activated before, an enrolled_at: p_as_of,
or when the class was activated if that was later. Returns how many, and how many classes it skipped because another
session has locked them. Any error undoes the whole batch.
Errors: 55000 a row did not take the update; and what the platform raises.';
