-- A hold ends when the status or the start date is changed, and stays over any other edit. The rows tell of a
-- change, and the platform's history of one that was changed back.
create or replace function class_activation.current_holds()
returns table (class_id integer, run_id bigint)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set row_security = off
as $function$
declare
  v_label constant text := (class_activation.platform()).label;
begin
  if not exists (select from class_activation.holds) then
    return;
  end if;
  return query execute format(
    $sql$
      select h.class_id, h.run_id
      from class_activation.holds h
      cross join lateral (
        select c.status, c.start_dt from public.%1$I c where c.id = h.class_id offset 0  -- by id, not by a scan of all classes
      ) c
      where c.status::text = h.status
        and c.start_dt is not distinct from h.start_dt
        and not exists (
          select
          from public.program_classes_history x
          where (x.id > h.history_id or x.created_at > h.since)
            and x.table_name = %1$L
            and x.parent_ref_id = h.class_id
            and (x.before_update ->> 'status', x.before_update ->> 'start_dt')
              is distinct from (x.after_update ->> 'status', x.after_update ->> 'start_dt')
        )
    $sql$,
    v_label
  );
end;
$function$;

revoke execute on function class_activation.current_holds() from public;

comment on function class_activation.current_holds() is
'The holds of classes whose status and start date have not been changed since revert took them back.';
