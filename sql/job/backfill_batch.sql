create or replace function class_activation_internal.backfill_batch(
  p_run class_activation.runs, p_class_ids integer[], p_user_id integer, p_lock_enrollments boolean,
  out activated integer, out backfilled bigint, out skipped integer[]
)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $function$
declare
  v_locked constant integer[] := class_activation_internal.lock_classes(p_class_ids, 'Active', p_lock_enrollments);
  v_group record;
begin
  activated := 0;
  backfilled := 0::bigint;
  skipped := array(select c.class_id from unnest(p_class_ids) c (class_id) where c.class_id <> all (v_locked));

  for v_group in
    select greatest(p_run.as_of, a.activated_at) as enrolled_at, array_agg(a.class_id) as class_ids,
      array_agg(a.run_id) as run_ids
    from (
      select distinct on (b.class_id) b.class_id, b.run_id, b.activated_at
      from class_activation.activations b
      join class_activation_internal.classes(v_locked) c on c.class_id = b.class_id
      where c.live_status = 'Active' and b.reverted_by is null
      order by b.class_id, b.run_id desc
    ) a
    group by 1
  loop
    with written as materialized (
      select w.* from class_activation_internal.write_enrolled_at(v_group.class_ids, v_group.enrolled_at, p_user_id) w
    ), logged as (
      update class_activation.activations a
      set enrollments_backfilled = a.enrollments_backfilled + cardinality(n.enrollment_ids),
        enrollment_ids = a.enrollment_ids || n.enrollment_ids,
        enrolled_at_values = a.enrolled_at_values || w.enrolled_at_values,
        updated_at_values = a.updated_at_values || w.updated_at_values,
        update_user_ids = a.update_user_ids || w.update_user_ids
      from written w
      join unnest(v_group.class_ids, v_group.run_ids) g (class_id, run_id) on g.class_id = w.class_id
      join class_activation.activations b on b.run_id = g.run_id and b.class_id = g.class_id
      -- an enrollment whose enrolled_at was cleared since is already listed
      cross join lateral (
        select array(select i.id from unnest(w.enrollment_ids) i (id) where i.id <> all (b.enrollment_ids)) as enrollment_ids
      ) n
      where a.run_id = b.run_id and a.class_id = b.class_id
      returning cardinality(w.enrollment_ids) as enrollments
    )
    select backfilled + coalesce(sum(l.enrollments), 0)::bigint into backfilled from logged l;
  end loop;
  delete from class_activation.problems p where p.class_id = any (v_locked);
end;
$function$;
comment on function class_activation_internal.backfill_batch(class_activation.runs, integer[], integer, boolean) is
'Part of the job: sets enrolled_at of the pending enrollments of p_class_ids, which an earlier run activated, to the later
of p_run.as_of and that activation, and adds them to it. Otherwise as activate_batch.';
