create or replace function class_activation.zone_problem(p_timezone text)
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
begin
  if p_timezone is null then
    return 'time zone is null';
  end if;
  perform now() at time zone p_timezone;
  return null;
exception when invalid_parameter_value then
  return sqlerrm;
end;
$function$;

revoke execute on function class_activation.zone_problem(text) from public;

comment on function class_activation.zone_problem(text) is
'Why PostgreSQL takes p_timezone for no time zone; null where it is one.';
