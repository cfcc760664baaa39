-- What stands in the rows after the writes. A trigger, a rule or a policy may have kept a row as it was or written
-- something else, and PostgreSQL then reports neither an error nor, always, a smaller number of rows.
create or replace function class_activation.written_rows(p_class_ids integer[], p_enrollment_ids integer[])
returns table (
  class_id integer,
  pending bigint,
  enrollment_ids integer[],
  enrolled_at timestamptz[],
  updated_at timestamptz[],
  update_user_id integer[]
)
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
        select e.%1$I as class_id, e.id, e.enrolled_at, e.updated_at, e.update_user_id, e.id = any ($2) as given
        from public.program_class_enrollments e
        where e.%1$I = any ($1)
          and e.enrollment_status = 'Enrolled'
          and num_nulls(e.deleted_at) = 1
      ), dated as materialized (
        select e.class_id, count(*) filter (where e.enrolled_at is null) as pending,
          array_agg(e.id) filter (where e.given and e.enrolled_at is not null) as ids,
          array_agg(distinct e.enrolled_at) filter (where e.given and e.enrolled_at is not null) as enrolled_at,
          array_agg(distinct e.updated_at) filter (where e.given and e.enrolled_at is not null) as updated_at,
          array_agg(distinct e.update_user_id) filter (where e.given and e.enrolled_at is not null) as update_user_id
        from enrollment e
        group by e.class_id
      )
      select c.id, coalesce(d.pending, 0), coalesce(d.ids, '{}'), coalesce(d.enrolled_at, '{}'),
        d.updated_at || c.updated_at, d.update_user_id || c.update_user_id
      from public.%2$I c
      left join dated d on d.class_id = c.id
      where c.id = any ($1)
        and c.status = 'Active'
    $sql$,
    v_platform.class_key, v_platform.label
  )
  using p_class_ids, p_enrollment_ids;
end;
$function$;

revoke execute on function class_activation.written_rows(integer[], integer[]) from public;

comment on function class_activation.written_rows(integer[], integer[]) is
'Those of p_class_ids that are Active: how many enrollments are pending in each, which of p_enrollment_ids have a
date, and the enrolled_at, updated_at and update_user_id that stand in these; the last two of the class, too.';
