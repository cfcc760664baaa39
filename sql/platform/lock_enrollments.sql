create or replace function class_activation_internal.lock_enrollments(
  p_class_ids integer[], out enrollment_ids integer[], out locked_class_ids integer[]
)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $function$
begin
  execute class_activation_internal.platform_sql($sql$
    with pending as materialized (
      select p.class_id, i.id from class_activation_internal.pending_enrollments($1) p
      cross join unnest(p.enrollment_ids) i (id)
    ), locked as materialized (
      select e.id from {enrollments} e
      where e.{class_column} = any ($1) and {pending}
      for no key update skip locked
    )
    select coalesce(array_agg(p.id) filter (where l.id is not null), '{}'),
      coalesce(array_agg(p.class_id) filter (where l.id is null), '{}')
    from pending p
    left join locked l on l.id = p.id
  $sql$)
  into enrollment_ids, locked_class_ids
  using p_class_ids;
end;
$function$;
comment on function class_activation_internal.lock_enrollments(integer[]) is
'Locks pending enrollments without waiting; returns them, and the classes of which another session has locked one.';
