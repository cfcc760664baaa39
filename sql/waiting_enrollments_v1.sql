-- Who waits for an enrolled_at. activate_batch writes by the same three conditions.
create function class_activation.waiting_enrollments(p_class_ids integer[])
returns table (class_id integer, enrollments bigint)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $function$
begin
  return query
  select e.class_id, count(*)
  from public.program_class_enrollments e
  where e.class_id = any (p_class_ids)
    and e.enrollment_status = 'Enrolled'
    -- not "is null", for which the planner may take the index on deleted_at
    and num_nulls(e.enrolled_at, e.deleted_at) = 2
  group by e.class_id;
end;
$function$;

revoke execute on function class_activation.waiting_enrollments(integer[]) from public;

comment on function class_activation.waiting_enrollments(integer[]) is
'Those of p_class_ids in which somebody is Enrolled without an enrolled_at, and how many are.';
