-- Which residents still need their enrolled_at; write_enrolled_at fills it by the same conditions.
create or replace function class_activation.pending_enrollments(p_class_ids integer[])
returns table (class_id integer, enrollment_ids integer[])
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set row_security = off
set jit = off
as $function$
begin
  return query execute format(
    $sql$
      select e.%1$I, array_agg(e.id)
      from public.program_class_enrollments e
      where e.%1$I = any ($1)
        and e.enrollment_status = 'Enrolled'
        and num_nulls(e.enrolled_at, e.deleted_at) = 2
      group by e.%1$I
    $sql$,
    (class_activation.platform()).class_key
  )
  using p_class_ids;
end;
$function$;

revoke execute on function class_activation.pending_enrollments(integer[]) from public;

comment on function class_activation.pending_enrollments(integer[]) is
'Those of p_class_ids with enrollments that are Enrolled, not deleted and without enrolled_at, and the ids of these.';
