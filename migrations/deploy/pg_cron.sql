-- pg_cron, where the job is to be scheduled in this very database: created if this role may.

do $do$
begin
  if not exists (select from pg_extension e where e.extname = 'pg_cron') then
    -- where 1.6 insists on being, so that a dump of 1.4 can be restored there
    create extension pg_cron with schema pg_catalog;
  end if;
exception when others then
  raise exception using
    errcode = sqlstate,
    message = format('extension pg_cron is not in database %I and could not be created: %s', current_database(), sqlerrm),
    hint = 'Nothing was changed. Let a superuser run in this database: create extension pg_cron;'
      || format(' grant usage on schema cron to %I; (shared_preload_libraries must name pg_cron and', current_user)
      || format(' cron.database_name must be %L). If pg_cron lives in another database, repeat with', current_database())
      || ' -x cron_url=postgresql://..., or install without it: -x schedule=off.';
end;
$do$;

do $do$
declare
  v_version constant text := (select e.extversion from pg_extension e where e.extname = 'pg_cron');
begin
  if string_to_array(regexp_replace(v_version, '[^0-9.].*$', ''), '.')::integer[] < array[1, 4] then
    raise exception using
      errcode = '0A000',
      message = format('pg_cron in database %I is %s, and 1.4 is needed', current_database(), v_version),
      hint = 'Nothing was changed. Install a newer pg_cron and let a superuser run: alter extension pg_cron update;'
        || ' or install without it: -x schedule=off.';
  end if;
end;
$do$;
