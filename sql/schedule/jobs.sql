-- The two pg_cron jobs, defined once. Where pg_cron is in another database, it may serve many platforms, so their
-- names carry that of this database. They run as the owner of the platform's table; where that role may not log
-- in, they are their creator's (username is null).
create or replace function class_activation.jobs(
  p_schedule text default null,
  p_not_before time default null
)
returns table (jobname text, schedule text, command text, database text, username text)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
begin
  return query
  select j.jobname || case when s.cron_database is null then '' else '@' || current_database() end, j.schedule, j.command,
    current_database()::text, (
    select r.rolname::text from pg_roles r where r.oid = (select n.nspowner::regrole from pg_namespace n where n.nspname = 'class_activation') and r.rolcanlogin
  )
  from class_activation.settings s
  cross join lateral (
    values
      (
        'activate_scheduled_classes',
        coalesce(p_schedule, s.schedule),
        format(
          'select class_activation.activate_scheduled_classes(p_not_before => %L)',
          regexp_replace(coalesce(p_not_before, s.not_before)::text, ':00$', '')
        )
      ),
      ('class_activation_housekeeping', '23 3 * * *', 'select class_activation.housekeeping()')
  ) j (jobname, schedule, command);
end;
$function$;

revoke execute on function class_activation.jobs(text, time) from public;

comment on function class_activation.jobs(text, time) is
'The pg_cron jobs that class_activation.schedule creates, as arguments of cron.schedule_in_database; p_schedule and
p_not_before in place of what class_activation.settings says.';
