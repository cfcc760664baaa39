-- What stands in the rows after the writes. A trigger, a rule or a policy may have kept a row as it was, and
-- PostgreSQL then reports neither an error nor, always, a smaller number of rows.
create or replace function class_activation.written_rows(p_class_ids integer[], p_author integer)
returns table (class_id integer, pending bigint, updated_at timestamptz, update_user_id integer)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set row_security = off
set jit = off
as $function$
declare
  v_platform constant record := class_activation.platform();
begin
  return query execute format(
    $sql$
      with enrollment as materialized (
        select e.%1$I as class_id,
          count(*) filter (where e.enrollment_status = 'Enrolled' and num_nulls(e.enrolled_at, e.deleted_at) = 2) as pending,
          max(e.updated_at) filter (where e.update_user_id = $2) as updated_at
        from public.program_class_enrollments e
        where e.%1$I = any ($1)
        group by e.%1$I
      )
      select c.id, coalesce(e.pending, 0), greatest(c.updated_at, e.updated_at), c.update_user_id
      from public.%2$I c
      left join enrollment e on e.class_id = c.id
      where c.id = any ($1)
        and c.status = 'Active'
    $sql$,
    v_platform.class_key, v_platform.label
  )
  using p_class_ids, p_author;
end;
$function$;

revoke execute on function class_activation.written_rows(integer[], integer) from public;

comment on function class_activation.written_rows(integer[], integer) is
'Those of p_class_ids that are Active: how many enrollments are pending in each, the latest updated_at of the class
and of the enrollments that p_author wrote, and the author of the class.';
