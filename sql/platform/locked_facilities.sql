create or replace function class_activation.locked_facilities(p_class_ids integer[])
returns table (class_id integer, facility_id integer)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set row_security = off
as $function$
begin
  return query execute format(
    'select c.id, c.facility_id from public.%I c where c.id = any ($1) for no key update skip locked',
    (class_activation.platform()).label
  )
  using p_class_ids;
end;
$function$;

revoke execute on function class_activation.locked_facilities(integer[]) from public;

comment on function class_activation.locked_facilities(integer[]) is
'Locks those of p_class_ids that exist and that no other session has locked, and returns their facilities.';
