-- The platform's triggers, rules and constraints run inside the statement, so they meet what they meet when the
-- application writes: the search path of a new session of this role in this database, temporary objects last,
-- and policies in force. The statement itself names its schemas and operators, since that path is the platform's.
create or replace function class_activation.write(
  p_statement text,
  p_ids integer[] default null,
  p_author integer default null,
  p_enrolled_at timestamptz default null
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set row_security = on
as $function$
declare
  v_search_path constant text := coalesce((
    select substr(s.setting, length('search_path=') + 1)
    from pg_db_role_setting d
    cross join unnest(d.setconfig) s (setting)
    where d.setrole in (0, current_user::regrole)
      and d.setdatabase in (0, (select b.oid from pg_database b where b.datname = current_database()))
      and starts_with(s.setting, 'search_path=')
    order by d.setrole <> 0 desc, d.setdatabase <> 0 desc
    limit 1
  ), '"$user", public');
  v_rows bigint;
begin
  if p_ids = '{}' then
    return 0::bigint;
  end if;
  perform set_config('search_path', concat_ws(', ',
    nullif(ltrim(regexp_replace(v_search_path, '(^|,)\s*"?pg_temp"?\s*(?=,|$)', '', 'gi'), ', '), ''), 'pg_temp'), true);
  execute p_statement using p_ids, p_author, p_enrolled_at;
  get diagnostics v_rows = row_count;
  return v_rows;
end;
$function$;

revoke execute on function class_activation.write(text, integer[], integer, timestamptz) from public;

comment on function class_activation.write(text, integer[], integer, timestamptz) is
'Executes one write of the platform''s tables with the search path of its application and returns the number of
rows. The statement knows the other arguments as $1, $2 and $3.';
