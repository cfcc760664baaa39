create or replace function class_activation.schedule(
  p_schedule text default null,
  p_not_before time default null
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $function$
declare
  v_cron_database constant name := (select s.cron_database from class_activation.settings s);
  v_job record;
  v_jobid bigint;
begin
  if v_cron_database is not null then
    raise exception using
      errcode = '55000',
      message = format('the job is scheduled from another database, %I', coalesce(nullif(v_cron_database, ''), 'pg_cron''s')),
      hint = 'Set schedule or not_before in class_activation.settings, if they are to change, then deploy from there:'
        || ' alembic -x cron_url=postgresql://... upgrade head';
  elsif not exists (select from pg_extension e where e.extname = 'pg_cron') then
    raise exception using
      errcode = '55000',
      message = format('extension pg_cron is not in database %I', current_database()),
      hint = 'If it lives in another database, deploy with alembic -x cron_url=postgresql://..., or run there: ' || (
        select string_agg(
          format('select cron.schedule_in_database(%L, %L, %L, %L, %L, true);',
            j.jobname || '@' || j.database, j.schedule, j.command, j.database,
            case when (select r.rolsuper from pg_roles r where r.rolname = current_user) then j.username end),
          ' '
        )
        from class_activation.jobs(p_schedule, p_not_before) j
      ) || ' and here: update class_activation.settings set cron_database = ''THAT DATABASE'';'
        || ' If it lives nowhere yet, let a superuser run here: '
        || format('create extension pg_cron; grant usage on schema cron to %I;', current_user);
  elsif not class_activation.may_use_pg_cron() then
    raise exception using
      errcode = '42501',
      message = format('role %I may not use schema cron', current_user),
      hint = format('Let a superuser run: grant usage on schema cron to %I;', current_user);
  end if;

  update class_activation.settings s
  set schedule = coalesce(p_schedule, s.schedule),
    not_before = coalesce(p_not_before, s.not_before),
    active = true;
  for v_job in select j.* from class_activation.jobs() j order by j.jobname desc loop
    v_jobid := class_activation.schedule_job(
      v_job.jobname, v_job.schedule, v_job.command, v_job.database, v_job.username
    );
  end loop;
  return v_jobid;
end;
$function$;

revoke execute on function class_activation.schedule(text, time) from public;

comment on function class_activation.schedule(text, time) is
'Creates, changes or resumes the pg_cron jobs activate_scheduled_classes and class_activation_housekeeping, remembers
their schedule in class_activation.settings, and returns the jobid of the first.
  p_schedule     cron expression in GMT (default: what is set; at first every 15 minutes, because each zone''s 5 AM
                 falls on a quarter hour)
  p_not_before   local time of day at which a class becomes Active on its start date (default: what is set; at first
                 05:00)
Other jobs of these names for this database are removed, as far as the calling role sees them.
Errors: 55000 pg_cron is not in this database, or the job is scheduled from another one; 42501 no usage on schema
cron; 42710 the role has a job of that name for another database.';
