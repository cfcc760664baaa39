create or replace function class_activation.doctor_pg_cron()
returns table (check_name text, level text, trouble text, otherwise text, fix text)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set row_security = on
as $function$
declare
  v_superuser constant boolean := (select r.rolsuper from pg_roles r where r.rolname = current_user);
  v_settings class_activation.settings;
begin
  if not has_table_privilege('class_activation.settings', 'select') then
    return query
    select 'pg_cron', 'warning', format('not visible to role %I', current_user), null, 'ask as the owner or as a superuser';
    return;
  end if;
  select s.* into v_settings from class_activation.settings s;
  if v_settings.cron_database is not null then
    return query
    select 'pg_cron', 'error', null,
      case v_settings.cron_database
        when '' then 'the job, if there is one, is in pg_cron''s database'
        else format('the job is in another database, %I', v_settings.cron_database)
      end || ', where cron.job and cron.job_run_details tell of it', null;
    return;
  end if;

  return query
  select 'pg_cron', case when e.extversion is null then 'error' else 'warning' end,
    case
      when e.extversion is null then format('extension pg_cron is not in database %I, so nothing calls the job', current_database())
      when not class_activation.may_use_pg_cron() then format('schema cron is not visible to role %I', current_user)
      when string_to_array(regexp_replace(e.extversion, '[^0-9.].*$', ''), '.')::integer[] < array[1, 4] then
        format('pg_cron is %s, and 1.4 is needed', e.extversion)
    end,
    format('pg_cron %s is in this database', e.extversion),
    case
      when e.extversion is null then 'create extension pg_cron; -- or, if it lives in another database:'
        || ' alembic -x cron_url=postgresql://... upgrade head'
      when not class_activation.may_use_pg_cron() then format('grant usage on schema cron to %I;', current_user)
      else 'alter extension pg_cron update; -- after installing a newer pg_cron'
    end
  from (values ('pg_cron')) x (extname)
  left join pg_extension e using (extname);
  if not class_activation.may_use_pg_cron() then
    return;
  end if;

  return query
  with planned as (
    select w.* from class_activation.jobs() w
  ), job as (
    select j.*, w.command as planned_command, format('job %s of role %s', j.jobid, j.username) as who, r.rolcanlogin
    from planned w
    join cron.job j on j.jobname = w.jobname and j.database = w.database
    left join pg_roles r on r.rolname = j.username
  )
  select c.check_name, 'error', c.trouble, c.otherwise, c.fix
  from (
    select 1, 'job',
      string_agg(case
        when n.jobs = 0 then format('there is no job %s for this database', w.jobname)
          || case when v_settings.active then '' else ', because it is paused' end
        when n.jobs > 1 then format('%s is scheduled %s times: %s', w.jobname, n.jobs, n.list)
      end, '; '),
      'there is one ' || string_agg(n.list, ' and one '), 'select class_activation.schedule();'
    from planned w
    cross join lateral (
      select count(*) as jobs, string_agg(j.who, ', ' order by j.jobid) as list from job j where j.jobname = w.jobname
    ) n

    union all
    select 2, 'job_active', string_agg(j.who || ' is not active', ', ') filter (where not j.active),
      'the jobs are active', 'select class_activation.schedule();'
    from job j

    union all
    select 3, 'job_command', string_agg(format('%s runs %s', j.who, j.command), ', ') filter (where j.command <> j.planned_command),
      'the jobs run what class_activation.settings says', 'select class_activation.schedule();'
    from job j

    union all
    select 4, 'job_role', string_agg(j.who || ' may not log in', ', ') filter (where not j.rolcanlogin),
      'the roles of the jobs may log in',
      string_agg(distinct format('alter role %I login;', j.username), ' ') filter (where not j.rolcanlogin)
    from job j

    union all
    select 5, 'job_runs',
      string_agg(case
        when d.status = 'failed' then format('run %s failed: %s', d.runid, d.return_message)
        else format('run %s has been %s since %s', d.runid, d.status, d.start_time)
      end, '; ' order by d.runid) filter (where d.status = 'failed'
        or d.status in ('starting', 'connecting', 'sending') and d.start_time < now() - interval '15 minutes'),
      'the last runs in pg_cron''s log did not fail', 'mend what the detail names: the next run tells'
    from job j
    cross join lateral (
      select r.* from cron.job_run_details r where r.jobid = j.jobid order by r.runid desc limit 1
    ) d
  ) c (position, check_name, trouble, otherwise, fix)
  order by c.position;

  -- the server itself, and the jobs of other roles
  if not v_superuser then
    return query
    select 'pg_cron_server', 'warning', format('not visible to role %I', current_user), null, 'ask as a superuser';
    return;
  end if;

  return query
  select c.check_name, c.level, c.trouble, c.otherwise, c.fix
  from (
    select 1, 'pg_cron_preloaded', 'error',
      case when s.libraries !~ '(^|[, "])pg_cron($|[, "])' then
        'shared_preload_libraries does not name pg_cron, so no job in the cluster runs' end,
      'shared_preload_libraries names pg_cron',
      format('alter system set shared_preload_libraries = %s; -- then restart the server', (
        select string_agg(quote_literal(l), ', ')
        from regexp_split_to_table(concat_ws(',', nullif(s.libraries, ''), 'pg_cron'), '[[:space:]]*,[[:space:]]*') l
      ))
    from (values (current_setting('shared_preload_libraries'))) s (libraries)

    union all
    select 2, 'pg_cron_launcher', 'error',
      case
        when current_setting('in_hot_standby') = 'on' then null
        when not exists (select from pg_stat_activity a where a.backend_type = 'pg_cron launcher') then
          'pg_cron''s launcher does not run, so no job in the cluster does'
      end,
      'pg_cron''s launcher runs, or will after promotion',
      'run the fix of job_roles_exist, if it has one: the launcher dies of such a job; if not, look for pg_cron in the'
        || ' server''s log, and restart the server'

    union all
    select 3, 'pg_cron_settings', 'error',
      case
        when current_setting('cron.database_name', true) <> current_database() then
          format('pg_cron runs the jobs of database %s, and not of this one', current_setting('cron.database_name'))
        when current_setting('cron.launch_active_jobs', true) = 'off' then
          'cron.launch_active_jobs is off, so no job in the cluster runs'
      end,
      'pg_cron runs the jobs of this database',
      case
        when current_setting('cron.launch_active_jobs', true) = 'off' then
          'alter system set cron.launch_active_jobs = on; -- then: select pg_reload_conf();'
        else format('alter system set cron.database_name = %L; -- then restart the server; or, if pg_cron is to stay there,'
          || ' drop its extension here and ask again', current_database())
      end

    union all
    select 4, 'pg_cron_workers', 'warning',
      case
        when current_setting('cron.use_background_workers', true) is distinct from 'on' then
          'pg_cron connects to localhost like a client, which fails where a password is asked for'
        when current_setting('max_worker_processes')::integer < 8 then
          format('max_worker_processes is %s, and each running job takes one', current_setting('max_worker_processes'))
      end,
      'pg_cron runs jobs in background workers',
      case
        when current_setting('cron.use_background_workers', true) is distinct from 'on' then
          'alter system set cron.use_background_workers = on; -- then restart the server'
        else 'alter system set max_worker_processes = 16; -- then restart the server'
      end

    union all
    select 5, 'job_roles_exist', 'error',
      'the role is gone, which stops every job of the cluster: '
        || string_agg(format('job %s of role %s', j.jobid, j.username), ', '),
      'the role of every job exists',
      string_agg(format('select cron.unschedule(%s);', j.jobid), ' ')
    from cron.job j
    where not exists (select from pg_roles r where r.rolname = j.username)
  ) c (position, check_name, level, trouble, otherwise, fix)
  order by c.position;
end;
$function$;

revoke execute on function class_activation.doctor_pg_cron() from public;

comment on function class_activation.doctor_pg_cron() is
'Part of doctor: pg_cron and the jobs in it, as far as the calling role sees them. It writes nothing.';
