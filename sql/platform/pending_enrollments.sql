create or replace function class_activation_internal.pending_enrollments(p_class_ids integer[])
returns table (class_id integer, enrollment_ids integer[])
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $function$
begin
  return query execute class_activation_internal.platform_sql($sql$
    select e.{class_column}, array_agg(e.id)
    from {enrollments} e
    where e.{class_column} = any ($1) and {pending}
    group by e.{class_column}
  $sql$)
  using p_class_ids;
end;
$function$;
comment on function class_activation_internal.pending_enrollments(integer[]) is
'Those of p_class_ids with enrollments that are Enrolled, not deleted and without enrolled_at, and the ids of these.';
