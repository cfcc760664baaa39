-- The part of doctor that looks at pg_cron, in the database that it lives in. Row-level security hides
-- the jobs of others, and settings and processes are for the roles that monitor: what is not seen is
-- said to be so.
create function class_activation.doctor_pg_cron()
returns table (check_name text, level text, trouble text, otherwise text, fix text)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
  v_standby constant boolean := current_setting('in_hot_standby') = 'on';
  v_superuser constant boolean := (select r.rolsuper from pg_roles r where r.rolname = current_user);
  v_unseen constant text := format(' of role %I; those of other roles it does not see', current_user);
  v_monitor constant boolean := pg_has_role('pg_monitor', 'usage');
  v_blind constant text := format('role %I may not see it; a superuser or a member of pg_monitor does', current_user);
  v_command constant text := '^select public\.activate_scheduled_classes\(p_not_before => ''([0-9:.]+)''\)$';
begin
  return query
  select 'pg_cron_version', 'error',
    case when string_to_array(regexp_replace(e.extversion, '[^0-9.].*$', ''), '.')::integer[] < array[1, 4]
      then format('pg_cron is %s, and 1.4 is needed', e.extversion) end,
    format('pg_cron is %s', e.extversion), 'install a newer pg_cron, then: alter extension pg_cron update;'
  from pg_extension e
  where e.extname = 'pg_cron';

  return query
  select 'pg_cron_launcher', case when v_monitor then 'error' else 'warning' end,
    case
      when v_standby then null
      when not v_monitor then v_blind
      when not exists (select from pg_stat_activity a where a.backend_type = 'pg_cron launcher') then
        'pg_cron''s launcher does not run, so no job in the cluster does'
    end,
    case
      when v_standby then 'this is a standby, where nothing runs until it is promoted'
      else 'pg_cron''s launcher runs'
    end,
    case
      when exists (select from cron.job j where not exists (select from pg_roles r where r.rolname = j.username)) then
        'run the fix of job_roles_exist, of which the launcher dies: a restart does not help'
      when v_monitor then 'look for pg_cron in the server''s log, and restart the server'
      else 'ask as a superuser'
    end;

  return query
  select 'pg_cron_settings', case when v_monitor then 'error' else 'warning' end,
    case
      when not v_monitor then v_blind
      when current_setting('cron.database_name', true) <> current_database() then
        format('pg_cron runs the jobs of database %s, and not of this one', current_setting('cron.database_name'))
      when current_setting('cron.launch_active_jobs', true) = 'off' then
        'cron.launch_active_jobs is off, so no job in the cluster runs'
    end,
    'pg_cron runs the jobs of this database',
    case
      when not v_monitor then 'ask as a superuser'
      when current_setting('cron.database_name', true) <> current_database() then
        format('alter system set cron.database_name = %L; -- then restart the server; or, if pg_cron is to stay there,'
          || ' drop its extension here and ask again', current_database())
      else 'alter system set cron.launch_active_jobs = on; -- then: select pg_reload_conf();'
    end;

  return query
  select 'pg_cron_workers', 'warning',
    case
      when not v_monitor then v_blind
      when current_setting('cron.use_background_workers', true) is distinct from 'on' then
        'pg_cron connects to localhost like a client, which fails where a password is asked for'
      when current_setting('max_worker_processes')::integer < 8 then
        format('max_worker_processes is %s, and each running job takes one', current_setting('max_worker_processes'))
    end,
    'pg_cron runs jobs in background workers',
    case
      when not v_monitor then 'ask as a superuser'
      when current_setting('cron.use_background_workers', true) is distinct from 'on' then
        'alter system set cron.use_background_workers = on; -- then restart the server'
      else 'alter system set max_worker_processes = 16; -- then restart the server'
    end;

  return query
  with ours as (
    select j.*, substring(j.command from v_command) as not_before
    from cron.job j
    where j.jobname = 'activate_scheduled_classes'
      and j.database = current_database()
  ), found as (
    select count(*) as jobs, string_agg(format('job %s of role %s', o.jobid, o.username), ', ' order by o.jobid) as list,
      -- with the rhythm and the hour that were chosen, of two jobs the older one's
      format('select class_activation.schedule(%s);', (array_agg(
        concat_ws(', ', quote_literal(o.schedule), quote_literal(o.not_before)) order by o.jobid
      ))[1]) as schedule
    from ours o
  )
  select 'job', 'error',
    case
      when f.jobs = 0 then 'there is no job activate_scheduled_classes for this database'
      when f.jobs > 1 then format('the job is scheduled %s times: %s', f.jobs, f.list)
    end || case when v_superuser then '' else v_unseen end,
    'there is one ' || coalesce(f.list, '') || case when v_superuser then '' else v_unseen end, f.schedule
  from found f

  union all
  select 'job_active', 'error',
    string_agg(format('job %s is not active', o.jobid), ', ') filter (where not o.active),
    'the job is active', min(f.schedule)
  from ours o
  cross join found f

  union all
  select 'job_command', 'error',
    string_agg(format('job %s runs %s', o.jobid, o.command), ', ') filter (where o.not_before is null),
    'the job runs the function', min(f.schedule)
  from ours o
  cross join found f

  union all
  select 'job_role', 'error',
    string_agg(format('role %s of job %s may not log in', o.username, o.jobid), ', ') filter (where not r.rolcanlogin),
    'the role of the job may log in',
    string_agg(format('alter role %I login;', o.username), ' ') filter (where not r.rolcanlogin)
  from ours o
  join pg_roles r on r.rolname = o.username;

  -- the launcher dies of such a job, even of an inactive one, again and again
  return query
  select 'job_roles_exist', case when v_superuser then 'error' else 'warning' end,
    case
      when not v_superuser then format('role %I sees its own jobs only', current_user)
      else 'the role is gone, which stops every job of the cluster: '
        || string_agg(format('job %s of role %s', j.jobid, j.username), ', ')
    end,
    'the role of every job exists',
    case
      when v_superuser then string_agg(format('select cron.unschedule(%s);', j.jobid), ' ')
      else 'ask as a superuser'
    end
  from cron.job j
  where not exists (select from pg_roles r where r.rolname = j.username);

  return query
  select 'job_runs', 'error',
    string_agg(case
      when d.status = 'failed' then format('run %s failed: %s', d.runid, d.return_message)
      else format('run %s has been %s since %s', d.runid, d.status, d.start_time)
    end, '; ' order by d.runid),
    'the last run in pg_cron''s log did not fail', 'mend what the detail names: the next run tells'
  from (
    select d.*
    from cron.job_run_details d
    join cron.job j on j.jobid = d.jobid
    where j.jobname = 'activate_scheduled_classes'
      and j.database = current_database()
    order by d.runid desc
    limit 1
  ) d
  where d.status = 'failed'
    or (d.status in ('starting', 'connecting', 'sending') and d.start_time < now() - interval '15 minutes');
end;
$function$;

revoke execute on function class_activation.doctor_pg_cron() from public;

comment on function class_activation.doctor_pg_cron() is
'Part of class_activation.doctor(): pg_cron, the job in it, and its runs.';
