create or replace function class_activation_internal.classes(p_class_ids integer[])
returns table (
  class_id integer, class_name text, facility_id integer, start_dt date, live_status text, updated_at timestamptz,
  update_user_id integer
)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $function$
begin
  return query execute class_activation_internal.platform_sql($sql$
    select c.id, {class_name}, c.facility_id, c.start_dt,
      case when num_nulls(c.archived_at, c.deleted_at) = 2 then c.status::text end, c.updated_at, c.update_user_id
    from {classes} c
    where c.id = any ($1)
  $sql$)
  using p_class_ids;
end;
$function$;
comment on function class_activation_internal.classes(integer[]) is
'The classes p_class_ids as they are: the name that people see (with cohorts that of the class tier; null if the calling
role may not read it), the status unless archived or deleted, and who updated them last.';
