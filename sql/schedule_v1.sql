-- Exactly one job, whoever schedules it and however often: what stands in its way is removed first.
create function class_activation.schedule(
  p_schedule text default '*/15 * * * *',
  p_not_before time default '05:00'
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $function$
declare
  v_job constant record := class_activation.job(p_schedule, p_not_before);
  v_superuser constant boolean := (select r.rolsuper from pg_roles r where r.rolname = current_user);
  -- pg_cron lets nobody but a superuser name the role of a job
  v_username constant name := case when v_superuser then coalesce(v_job.username, current_user) else current_user end;
  v_other record;
begin
  if not exists (select from pg_extension e where e.extname = 'pg_cron') then
    raise exception using
      errcode = '55000',
      message = format('extension pg_cron is not in database %I', current_database()),
      hint = 'If it lives in another database, run there: '
        || format('select cron.schedule_in_database(%L, %L, %L, %L, %L, true);',
          v_job.jobname, v_job.schedule, v_job.command, v_job.database, case when v_superuser then v_username end)
        || ' (alembic does so with -x cron_url=postgresql://...). If not, let a superuser run here: '
        || format('create extension pg_cron; grant usage on schema cron to %I;', current_user);
  elsif not class_activation.may_use_pg_cron() then
    raise exception using
      errcode = '42501',
      message = format('role %I may not use schema cron', current_user),
      hint = format('Let a superuser run: grant usage on schema cron to %I;', current_user);
  end if;

  select j.jobid, j.database
  into v_other
  from cron.job j
  where j.jobname = v_job.jobname
    and j.username = v_username
    and j.database <> v_job.database;
  if found then
    raise exception using
      errcode = '42710',
      message = format('role %I already has a job %I for another database: %I',
        v_username, v_job.jobname, v_other.database),
      hint = 'pg_cron would overwrite it. If this database is that one renamed or restored, remove the job here: '
        || format('select cron.unschedule(%s); If both are in use, let another role schedule this one.', v_other.jobid);
  end if;

  -- cron.schedule does not make an inactive job active again
  perform cron.unschedule(j.jobid)
  from cron.job j
  where j.jobname = v_job.jobname
    and j.database = v_job.database
    and (not j.active or j.username <> v_username);

  if v_superuser then
    return cron.schedule_in_database(
      v_job.jobname, v_job.schedule, v_job.command, v_job.database, v_username::text, true
    );
  else
    return cron.schedule(v_job.jobname, v_job.schedule, v_job.command);
  end if;
end;
$function$;

revoke execute on function class_activation.schedule(text, time) from public;

comment on function class_activation.schedule(text, time) is
'Creates, changes or re-activates the pg_cron job activate_scheduled_classes and returns its jobid.
  p_schedule     cron expression in GMT (default every 15 minutes: each zone''s 5 AM falls on a quarter hour)
  p_not_before   local time of day at which a class becomes Active on its start date (default 05:00)
Other jobs of that name for this database are removed, as far as the calling role sees them.
Errors: 55000 pg_cron is not in this database; 42501 no usage on schema cron; 42710 the role has a job
of that name for another database; 22023 an argument is null.';
