-- Creates the extension pg_cron, for a job in this database.
do $do$
declare
  v_version text := (select e.extversion from pg_extension e where e.extname = 'pg_cron');
begin
  if v_version is null then
    -- 1.6 requires this schema: a dump of 1.4 can be restored there
    create extension pg_cron with schema pg_catalog;
  elsif string_to_array(regexp_replace(v_version, '[^0-9.].*$', ''), '.')::integer[] < array[1, 4] then
    raise exception 'its version is %, and 1.4 is needed', v_version using errcode = '0A000';
  end if;
exception when others then
  raise exception using
    errcode = sqlstate,
    message = format('pg_cron cannot be used in database %I: %s', current_database(), sqlerrm),
    hint = 'Nothing was changed. Let a superuser run in this database: create extension pg_cron;'
      || format(' grant usage on schema cron to %I; (shared_preload_libraries must name pg_cron and', current_user)
      || format(' cron.database_name must be %L), or alter extension pg_cron update; If pg_cron is', current_database())
      || ' in another database, repeat with -x cron_url=postgresql://..., or install without it: -x schedule=off.';
end;
$do$;
