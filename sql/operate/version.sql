create or replace function class_activation.version()
returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $function$
begin
  return '1.0.0';
end;
$function$;
comment on function class_activation.version() is
'The release whose functions are installed; it is also the revision that alembic current shows.';
