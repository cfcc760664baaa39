create or replace function class_activation.facility_zones()
returns table (timezone text, facility_ids text)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set row_security = off
as $function$
begin
  return query
  select f.timezone::text, string_agg(f.id::text, ', ' order by f.id)
  from public.facilities f
  where f.deleted_at is null
  group by f.timezone;
end;
$function$;

revoke execute on function class_activation.facility_zones() from public;

comment on function class_activation.facility_zones() is
'The distinct time zones of the facilities that are not deleted, each with the ids of its facilities.';
