-- The statement qualifies its names and operators, because the search path is the application's. Row security applies to
-- the triggers that it fires.
create or replace function class_activation_internal.execute_as_application(
  p_statement text, p_ids integer[] default null, p_user_id integer default null,
  p_enrolled_at timestamptz default null
)
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set row_security = on
as $function$
begin
  if p_ids = '{}' then return; end if;
  perform set_config('search_path', class_activation_internal.application_search_path(), true);
  execute p_statement using p_ids, p_user_id, p_enrolled_at;
end;
$function$;
comment on function class_activation_internal.execute_as_application(text, integer[], integer, timestamptz) is
'Executes a write of the platform''s tables as its application would; the other arguments are its $1, $2 and $3.';
