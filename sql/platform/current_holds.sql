-- A hold ends when the status or the start date of its class changes, and outlasts any other edit. The class shows a
-- change; the platform's history shows one that was undone.
create or replace function class_activation_internal.current_holds()
returns table (class_id integer, run_id bigint)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $function$
begin
  if not exists (select from class_activation.holds) then return; end if;
  return query execute class_activation_internal.platform_sql($sql$
    select h.class_id, h.run_id
    from class_activation.holds h
    cross join lateral (
      -- by id, not by a scan of all classes
      select c.status, c.start_dt from {classes} c where c.id = h.class_id offset 0
    ) c
    where c.status::text = h.status and c.start_dt is not distinct from h.start_dt
      and not exists (
        select from {history} x
        where (x.id > h.history_id or x.created_at > h.since)
          and x.table_name = '{class_table}' and x.parent_ref_id = h.class_id
          and (x.before_update ->> 'status', x.before_update ->> 'start_dt')
            is distinct from (x.after_update ->> 'status', x.after_update ->> 'start_dt')
      )
  $sql$);
end;
$function$;
comment on function class_activation_internal.current_holds() is
'The holds of classes whose status and start date have not changed since revert made them Scheduled again.';
