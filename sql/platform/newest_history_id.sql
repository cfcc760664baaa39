create or replace function class_activation.newest_history_id()
returns integer
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set row_security = off
as $function$
begin
  return coalesce((select max(h.id) from public.program_classes_history h), 0);
end;
$function$;

revoke execute on function class_activation.newest_history_id() from public;

comment on function class_activation.newest_history_id() is
'The newest id in the platform''s history of classes; 0 where it is empty.';
