create or replace function class_activation.live_classes(p_status text, p_class_ids integer[])
returns table (class_id integer, start_dt date, updated_at timestamptz, update_user_id integer)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set row_security = off
set jit = off
as $function$
declare
  v_label constant text := (class_activation.platform()).label;
begin
  return query execute format(
    $sql$
      select c.id, c.start_dt, c.updated_at, c.update_user_id
      from public.%I c
      where c.id = any ($1)
        and c.status = %L
        and num_nulls(c.archived_at, c.deleted_at) = 2
    $sql$,
    v_label, p_status
  )
  using p_class_ids;
end;
$function$;

revoke execute on function class_activation.live_classes(text, integer[]) from public;

comment on function class_activation.live_classes(text, integer[]) is
'Those of p_class_ids that have status p_status and are neither archived nor deleted, as they stand.';
