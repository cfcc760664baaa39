-- pg_cron, where the job is to be scheduled in this very database: created if this role may.

do $do$
begin
  if not exists (select from pg_extension e where e.extname = 'pg_cron') then
    perform set_config('search_path', current_setting('class_activation.search_path'), true);
    create extension pg_cron;
    set local search_path = pg_catalog, pg_temp;
  end if;
exception when others then
  raise exception using
    errcode = sqlstate,
    message = format('extension pg_cron is not in database %I and could not be created: %s', current_database(), sqlerrm),
    hint = 'Nothing was installed. Let a superuser run in this database: create extension pg_cron;'
      || format(' grant usage on schema cron to %I; (shared_preload_libraries must name pg_cron and', current_user)
      || format(' cron.database_name must be %L). If pg_cron lives in another database, repeat with', current_database())
      || ' -x cron_url=postgresql://..., or install without it: -x schedule=off.';
end;
$do$;
