-- The platform's triggers, rules and constraints run inside the job's writes, so they get the search path that they
-- get when the application writes. pg_temp comes last, so that no temporary object of a caller is found first. The
-- oid of the database comes from the session, because pg_database may be closed to PUBLIC.
create or replace function class_activation_internal.application_search_path()
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $function$
declare
  v_search_path text := '"$user", public';
begin
  if has_table_privilege('pg_db_role_setting', 'select') then
    v_search_path := coalesce((
      select substr(s.setting, length('search_path=') + 1)
      from pg_db_role_setting d
      cross join unnest(d.setconfig) s (setting)
      where d.setrole in (0, current_user::regrole)
        and d.setdatabase in (0, (select a.datid from pg_stat_get_activity(pg_backend_pid()) a))
        and starts_with(s.setting, 'search_path=')
      order by d.setrole <> 0 desc, d.setdatabase <> 0 desc
      limit 1
    ), v_search_path);
  end if;
  if v_search_path ilike '%pg_temp%' then
    v_search_path := ltrim(regexp_replace(v_search_path, '(^|,)[[:space:]]*"?pg_temp"?[[:space:]]*(?=,|$)', '', 'gi'), ', ');
  end if;
  return concat_ws(', ', nullif(v_search_path, ''), 'pg_temp');
end;
$function$;
comment on function class_activation_internal.application_search_path() is
'The search path of a new session of the calling role in this database, with temporary objects last.';
