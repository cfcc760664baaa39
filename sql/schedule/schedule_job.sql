-- Exactly one job of that name for that database, whichever role schedules it and however often: what stands in
-- its way is removed first. It refers to nothing of this schema, because a deployment also runs it in pg_cron's
-- database, where that is another one.
create or replace function class_activation.schedule_job(
  p_jobname text,
  p_schedule text,
  p_command text,
  p_database text,
  p_username text
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set row_security = on
as $function$
declare
  v_superuser constant boolean := (select r.rolsuper from pg_roles r where r.rolname = current_user);
  -- pg_cron lets only a superuser name the role of a job
  v_username constant text := case when v_superuser then coalesce(p_username, current_user::text) else current_user::text end;
  v_other record;
begin
  select j.jobid, j.database
  into v_other
  from cron.job j
  where j.jobname = p_jobname
    and j.username = v_username
    and j.database <> p_database;
  if found then
    raise exception using
      errcode = '42710',
      message = format('role %I already has a job %I for another database: %I', v_username, p_jobname, v_other.database),
      hint = 'pg_cron would overwrite it. If that database is this one before it was renamed or restored, remove the job'
        || format(' in database %I: select cron.unschedule(%s);', current_database(), v_other.jobid)
        || ' If both are in use, let another role schedule this one.';
  elsif p_database <> current_database()
    and not has_function_privilege('cron.schedule_in_database(text, text, text, text, text, boolean)', 'execute')
  then
    raise exception using
      errcode = '42501',
      message = format('role %I may not schedule a job for another database', current_user),
      hint = format('Let a superuser run in database %I: grant execute on function', current_database())
        || format(' cron.schedule_in_database to %I;', current_user);
  end if;

  -- cron.schedule does not make an inactive job active again; release 0.1.0 had the plain name everywhere
  perform cron.unschedule(j.jobid)
  from cron.job j
  where j.jobname in (p_jobname, split_part(p_jobname, '@', 1))
    and j.database = p_database
    and (not j.active or j.username <> v_username or j.jobname <> p_jobname);

  if v_superuser or p_database <> current_database() then
    return cron.schedule_in_database(
      p_jobname, p_schedule, p_command, p_database, case when v_superuser then v_username end, true
    );
  else
    return cron.schedule(p_jobname, p_schedule, p_command);
  end if;
end;
$function$;

revoke execute on function class_activation.schedule_job(text, text, text, text, text) from public;

comment on function class_activation.schedule_job(text, text, text, text, text) is
'Creates, changes or re-activates one job of pg_cron for p_database and returns its jobid. Other jobs of that name,
or of the plain one before an @, for that database are removed, as far as the calling role sees them.
Errors: 42710 the role has a job of that name for another database; 42501 it may not schedule for another database.';
