-- num_nulls, because the planner would take "deleted_at is null" for selective and its index for the best one.
create or replace function class_activation.live_classes(
  p_status text,
  p_class_ids integer[] default null,
  p_start_until date default null
)
returns table (
  class_id integer,
  facility_id integer,
  facility_name text,
  timezone text,
  facility_deleted boolean,
  start_dt date,
  updated_at timestamptz,
  update_user_id integer
)
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
      select c.id, c.facility_id, f.name::text, f.timezone::text, f.deleted_at is not null, c.start_dt,
        c.updated_at, c.update_user_id
      from public.%I c
      join public.facilities f on f.id = c.facility_id
      where c.status = %L
        and num_nulls(c.archived_at, c.deleted_at) = 2
        and ($1 is null or c.id = any ($1))
        and ($2 is null or c.start_dt <= $2)
    $sql$,
    v_label, p_status
  )
  using p_class_ids, p_start_until;
end;
$function$;

revoke execute on function class_activation.live_classes(text, integer[], date) from public;

comment on function class_activation.live_classes(text, integer[], date) is
'The classes with status p_status that are neither archived nor deleted, with their facility; of p_class_ids and
that start until p_start_until, where given.';
