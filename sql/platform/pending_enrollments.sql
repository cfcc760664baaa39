-- Which residents still need their enrolled_at; write_enrolled_at fills it by the same conditions.
create or replace function class_activation.pending_enrollments(p_class_ids integer[], p_lock boolean default false)
returns table (class_id integer, enrollment_ids integer[])
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set row_security = off
set jit = off
as $function$
declare
  v_class_key constant text := (class_activation.platform()).class_key;
begin
  return query execute format(
    $sql$
      select p.class_id, array_agg(p.id)
      from (
        select e.%1$I as class_id, e.id
        from public.program_class_enrollments e
        where e.%1$I = any ($1)
          and e.enrollment_status = 'Enrolled'
          and num_nulls(e.enrolled_at, e.deleted_at) = 2
        %2$s
      ) p
      group by p.class_id
    $sql$,
    v_class_key, case when p_lock then 'for no key update' end
  )
  using p_class_ids;
end;
$function$;

revoke execute on function class_activation.pending_enrollments(integer[], boolean) from public;

comment on function class_activation.pending_enrollments(integer[], boolean) is
'Those of p_class_ids with enrollments that are Enrolled, not deleted and without enrolled_at, and the ids of these.';
