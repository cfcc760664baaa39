-- As the caller, who sees more of pg_cron and of the server than the owner may. What a role cannot see is not a finding:
-- doctor_platform shows whether the job is called.
create or replace function class_activation.doctor_pg_cron()
returns table (check_name text, level text, failure text, success text, fix text)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set row_security = on
set lock_timeout = '10ms'
as $function$
declare
  v_owner constant regrole := (select n.nspowner::regrole from pg_namespace n where n.nspname = 'class_activation');
  v_alter constant boolean := current_setting('is_superuser')::boolean
    and current_setting('allow_alter_system', true) is distinct from 'off';
  v_knows boolean := has_table_privilege('class_activation.settings', 'select')
    and has_table_privilege('class_activation.ticks', 'select')
    and has_function_privilege('class_activation_internal.job(text)', 'execute');
  v_settings class_activation.settings;
  v_job record;
  v_cron_database name;
  v_late boolean;
  v_running integer;
  v_libraries text;
  v_off boolean;
begin
  if v_knows then
    select s.* into v_settings from class_activation.settings s;
    v_knows := not (v_settings is null);
  end if;
  if v_knows then
    v_job := class_activation_internal.job();
    v_cron_database := case when v_job.elsewhere or v_job.version is not null then v_job.cron_database end;
    v_late := coalesce((select max(t.ticked_at) from class_activation.ticks t), v_settings.scheduled_at)
      < now() - v_job.longest_gap - interval '1 minute';
    return query
    select 'pg_cron', 'error',
      case
        when v_job.elsewhere then null
        when v_job.version is null and (v_late is not false or v_job.created_by is not null) then
          format('extension pg_cron is not in database %I, so nothing calls the job', current_database())
        when v_job.visible is null and v_job.version is not null and v_late is not false then format('role %I may not use schema cron', current_user)
        when string_to_array(regexp_replace(v_job.version, '[^0-9.].*$', ''), '.')::integer[] < array[1, 4] then
          format('pg_cron is %s, and 1.4 is needed', v_job.version)
      end,
      case
        when v_job.elsewhere then
          format('job %s of role %s is in database %s', v_job.jobname, v_job.created_by, v_job.cron_database)
        when v_job.version is null then 'pg_cron calls the job from another database'
        else format('pg_cron %s is in this database', v_job.version)
      end,
      case
        when v_job.version is null then 'create extension pg_cron; -- or, if it is in another database:'
          || ' alembic -x cron_url=postgresql://... upgrade head'
        when v_job.visible is null then format('grant usage on schema cron to %I; -- as a superuser', current_user)
        else 'alter extension pg_cron update; -- after installing a newer pg_cron'
      end;

    if v_job.visible is false and not v_job.elsewhere then
      return query
      select 'job', 'error',
        case
          when v_job.role_is_gone then
            format('role %s, as which the job was created, does not exist: pg_cron''s launcher crashes if it meets the job', v_job.created_by)
          when v_late then format('the job of role %s is not visible to role %s', v_job.created_by, current_user)
        end,
        format('the job of role %s, which role %s cannot see, calls', v_job.created_by, current_user),
        format('-- as %s:%sselect class_activation.schedule();',
          case when v_job.role_is_gone then 'a superuser' else format('role %s or a superuser', v_job.created_by) end, e'\n')
          || case when v_job.role_is_gone then
            format(e'\n-- or, if that role is now %1$s: alter role %1$s rename to %2$I;', v_owner, v_job.created_by)
          else '' end;
    elsif v_job.visible and not v_job.elsewhere then
      return query
      select 'job', 'error',
        case
          when count(j.jobid) = 0 then 'there is no job ' || v_job.jobname
          when count(j.jobid) > 1 then format('%s is scheduled %s times: ', v_job.jobname, count(j.jobid))
            || string_agg(format('job %s of role %s', j.jobid, j.username), ', ' order by j.jobid)
          else string_agg(w.difference, '; ' order by w.difference)
        end,
        string_agg(format('job %s of role %s is as class_activation.settings say', j.jobid, j.username), ', '),
        'select class_activation.schedule();'
      from (values (v_job.jobname)) n (jobname)
      left join cron.job j on j.jobname = n.jobname
      left join lateral (
        select string_agg(d.text, ', ') as difference
        from (values
          (not j.active, format('job %s is not active', j.jobid)),
          (j.schedule <> v_settings.schedule, format('job %s has the schedule %s, not %s', j.jobid, j.schedule, v_settings.schedule)),
          (j.command <> 'select class_activation.tick()', format('job %s runs %s', j.jobid, j.command)),
          (j.database <> current_database(), format('job %s is for database %s', j.jobid, j.database)),
          (j.username <> v_job.username, format('job %s belongs to role %s, not %s', j.jobid, j.username, v_job.username)),
          (v_job.created_by is null, format('job %s is not in class_activation.settings', j.jobid))
        ) d (differs, text)
        where d.differs
      ) w on true;

      return query
      select 'job_runs', 'error',
        case
          when d.status = 'failed' then format('run %s failed at %s: %s', d.runid, d.start_time, split_part(d.return_message, e'\n', 1))
          when d.status in ('starting', 'connecting', 'sending') and d.start_time < now() - interval '15 minutes' then
            format('run %s has been %s since %s', d.runid, d.status, d.start_time)
        end,
        'the last run in pg_cron''s log did not fail', 'fix the cause in detail; the next run shows whether it worked'
      from (select max(t.ticked_at) as last_tick from class_activation.ticks t) t
      left join lateral (
        select r.*
        from cron.job j
        join cron.job_run_details r on r.jobid = j.jobid
        where j.jobname = v_job.jobname
        order by r.runid desc
        limit 1
      ) d on (d.start_time > t.last_tick) is not false;

      return query
      select 'job_roles_exist', 'error',
        'pg_cron''s launcher crashes and no job runs, because the role does not exist: '
          || string_agg(format('job %s of role %s', j.jobid, j.username), ', '),
        'the role of every visible job exists',
        string_agg(format('select cron.unschedule(%s);', j.jobid), ' ')
      from cron.job j
      where to_regrole(quote_ident(j.username)) is null;
    end if;

    if v_job.created_by is not null and has_table_privilege('pg_roles', 'select') then
      return query
      select 'job_role', 'error',
        case when exists (select from pg_roles r where r.rolname = v_job.created_by and not r.rolcanlogin) then
          format('role %s, as which the job runs, may not log in', v_job.created_by) end,
        format('role %s may log in', v_job.created_by), format('alter role %I login; -- as a superuser', v_job.created_by);
    end if;
  end if;

  -- the launcher and the running jobs have a name that every role sees, but only if that is not closed either
  return query
  select 'pg_cron_launcher', 'error',
    case
      when (v_late or pg_has_role('pg_read_all_stats', 'usage'))
        and current_setting('in_hot_standby') = 'off'
        and not exists (select from pg_stat_get_activity(null) a where a.application_name = 'pg_cron scheduler')
      then 'pg_cron''s launcher does not run, so no job in the cluster does'
    end,
    'pg_cron''s launcher runs, or will after promotion',
    '-- ' || case when v_cron_database <> current_database() then format('in database %s, ', v_cron_database) else '' end
      || e'as a superuser:\n'
      || 'select cron.unschedule(jobid) from cron.job where to_regrole(quote_ident(username)) is null;'
      || ' -- the launcher crashes if the role of a job does not exist; otherwise see the server''s log, and restart the server';
  if not pg_has_role('pg_read_all_settings', 'usage') then
    return;
  end if;

  v_libraries := current_setting('shared_preload_libraries');
  v_off := coalesce(current_setting('cron.launch_active_jobs', true) = 'off', false);
  select count(*)::integer into v_running
  from pg_stat_get_activity(null) a
  where a.application_name like 'pg_cron%'
    and a.application_name <> 'pg_cron scheduler'
    or a.backend_type like 'pg_cron%'
    and a.backend_type <> 'pg_cron launcher';

  return query
  select c.check_name, c.level, c.failure, c.success,
    format(case when v_alter then 'alter system set %s = %s; -- then %s' else '-- in the configuration of the server: %s = %s, then %s' end,
      c.name, c.value, c.activate)
  from (values
    ('pg_cron_preloaded', 'error',
      case when v_libraries !~ '(^|[, "])pg_cron($|[, "])' then
        'shared_preload_libraries does not name pg_cron, so no job in the cluster runs' end,
      'shared_preload_libraries names pg_cron', 'shared_preload_libraries', (
        select string_agg(quote_literal(l), ', ')
        from regexp_split_to_table(concat_ws(',', nullif(v_libraries, ''), 'pg_cron'), '[[:space:]]*,[[:space:]]*') l
      ), 'restart the server'),
    ('pg_cron_settings', 'error',
      case
        when v_off then 'cron.launch_active_jobs is off, so no job in the cluster runs'
        when current_setting('cron.database_name', true) <> v_cron_database then
          format('pg_cron runs the jobs of database %s, not of %s', current_setting('cron.database_name'), v_cron_database)
      end,
      format('pg_cron runs the jobs of database %s', current_setting('cron.database_name', true)),
      case when v_off then 'cron.launch_active_jobs' else 'cron.database_name' end,
      case when v_off then 'on' else quote_literal(v_cron_database) end,
      case when v_off then 'select pg_reload_conf();' else 'restart the server' end),
    ('pg_cron_workers', 'warning',
      case when v_late and current_setting('cron.use_background_workers', true) is distinct from 'on' then
        'pg_cron connects to localhost like a client, which fails if a password is required' end,
      'pg_cron can start jobs', 'cron.use_background_workers', 'on', 'restart the server'),
    ('pg_cron_capacity', 'error',
      case when v_late is not false and v_running >= current_setting('cron.max_running_jobs', true)::integer then
        format('%s of cron.max_running_jobs = %s run, so the job has to wait', v_running, current_setting('cron.max_running_jobs')) end,
      'cron.max_running_jobs leaves room for the job', 'cron.max_running_jobs', (2 * v_running)::text, 'restart the server')
  ) c (check_name, level, failure, success, name, value, activate);

  if v_knows and has_table_privilege('pg_settings', 'select') then
    return query
    select 'pg_cron_timezone', 'warning',
      case when s.setting not in ('GMT', 'UTC') and v_job.next_tick_at is null and v_settings.schedule !~ 'second' then
        format('cron.timezone is %s, so the hours of the schedule %s are not GMT', s.setting, v_settings.schedule) end,
      'cron.timezone does not change when the job is called',
      case when v_job.elsewhere then (select format(e'-- in database %s:\n%s\n-- then here:\nupdate class_activation.settings set'
          || ' schedule = ''*/15 * * * *'';', j.cron_database, j.put) from class_activation_internal.job('*/15 * * * *') j)
        else 'select class_activation.schedule(''*/15 * * * *'');' end
    from (values ('cron.timezone')) n (name)
    left join pg_settings s using (name);
  end if;
end;
$function$;

comment on function class_activation.doctor_pg_cron() is
'Part of doctor: the job in pg_cron and the server, as far as the calling role sees them. It writes nothing.';
