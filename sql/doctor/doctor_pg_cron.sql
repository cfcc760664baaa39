-- As the caller, who sees more of pg_cron and of the server than the owner may. What a role cannot see is not a finding:
-- doctor_platform shows whether the job is called.
create or replace function class_activation.doctor_pg_cron()
returns table (check_name text, level text, failure text, success text, fix text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
set row_security = on
set lock_timeout = '10ms'
as $function$
declare
  v_knows boolean := has_table_privilege('class_activation.settings', 'select')
    and has_function_privilege('class_activation_internal.job(text)', 'execute');
  v_settings class_activation.settings;
  v_last_tick timestamptz;
  v_job record;
  v_cron_database name;
  v_late boolean;
  v_running bigint;
  v_libraries text;
  v_off boolean;
begin
  if v_knows then
    select s.* into v_settings from class_activation.settings s;
    v_knows := found;
  end if;
  if v_knows then
    v_job := class_activation_internal.job();
    v_cron_database := case when v_job.elsewhere or v_job.version is not null then v_job.cron_database end;
    v_last_tick := (select max(t.ticked_at) from class_activation.ticks t);
    v_late := coalesce(v_last_tick, v_settings.scheduled_at) < now() - v_job.longest_gap - interval '1 minute';
    return query
    select 'pg_cron', 'error', c.failure, c.success, c.fix
    from (values
      (v_job.elsewhere, null,
        format('job %s of role %s is in database %s', v_job.jobname, v_job.created_by, v_job.cron_database), null),
      (v_job.version is null,
        case when v_late is not false or v_job.created_by is not null then
          format('extension pg_cron is not in database %I, so nothing calls the job', current_database()) end,
        'pg_cron calls the job from another database', 'create extension pg_cron; -- or, if it is in another database:'
          || ' alembic -x cron_url=postgresql://... upgrade head'),
      (v_job.visible is null and v_late is not false, format('role %I may not use schema cron', current_user), null,
        format('grant usage on schema cron to %I; -- as a superuser', current_user)),
      (string_to_array(regexp_replace(v_job.version, '[^0-9.].*$', ''), '.')::integer[] < array[1, 4],
        format('pg_cron is %s, and 1.4 is needed', v_job.version), null,
        'alter extension pg_cron update; -- after installing a newer pg_cron'),
      (true, null, format('pg_cron %s is in this database', v_job.version), null)
    ) c (applies, failure, success, fix)
    where c.applies
    limit 1;

    if v_job.visible is false and not v_job.elsewhere then
      return query values ('job', 'error',
        case
          when v_job.role_is_gone then format('role %s, as which the job was created, does not exist:'
            || ' pg_cron''s launcher crashes if it meets the job', v_job.created_by)
          when v_late then format('the job of role %s is not visible to role %s', v_job.created_by, current_user)
        end,
        format('the job of role %s, which role %s cannot see, calls', v_job.created_by, current_user),
        format(e'-- as %sa superuser:\nselect class_activation.schedule();',
          case when not v_job.role_is_gone then format('role %s or ', v_job.created_by) end)
        || case when v_job.role_is_gone then format(e'\n-- or, if that role is now %1$s: alter role %1$s rename to %2$I;',
          (select n.nspowner::regrole from pg_namespace n where n.nspname = 'class_activation'), v_job.created_by)
        else '' end);
    elsif v_job.visible and not v_job.elsewhere then
      return query
      select 'job', 'error',
        case count(*)
          when 0 then 'there is no job ' || v_job.jobname
          when 1 then string_agg(w.difference, '; ')
          else format('%s is scheduled %s times: ', v_job.jobname, count(*))
            || string_agg(format('job %s of role %s', j.jobid, j.username), ', ' order by j.jobid)
        end,
        string_agg(format('job %s of role %s is as class_activation.settings say', j.jobid, j.username), ', '),
        'select class_activation.schedule();'
      from cron.job j
      cross join lateral (
        select string_agg(format('job %s ', j.jobid) || d.text, ', ') as difference
        from (values
          (not j.active, 'is not active'),
          (j.schedule <> v_settings.schedule, format('has the schedule %s, not %s', j.schedule, v_settings.schedule)),
          (j.command <> 'select class_activation.tick()', 'runs ' || j.command),
          (j.database <> current_database(), 'is for database ' || j.database),
          (j.username <> v_job.username, format('belongs to role %s, not %s', j.username, v_job.username)),
          (v_job.created_by is null, 'is not in class_activation.settings')
        ) d (differs, text)
        where d.differs
      ) w
      where j.jobname = v_job.jobname
      union all
      select 'job_runs', 'error',
        case
          when r.status = 'failed' then
            format('run %s failed at %s: %s', r.runid, r.start_time, split_part(r.return_message, e'\n', 1))
          when r.status in ('starting', 'connecting', 'sending') and r.start_time < now() - interval '15 minutes' then
            format('run %s has been %s since %s', r.runid, r.status, r.start_time)
        end,
        'the last run in pg_cron''s log did not fail', 'fix the cause in detail; the next run shows whether it worked'
      from (select) n
      left join lateral (
        select d.* from cron.job j join cron.job_run_details d on d.jobid = j.jobid
        where j.jobname = v_job.jobname order by d.runid desc limit 1
      ) r on (r.start_time > v_last_tick) is not false
      union all
      select 'job_roles_exist', 'error',
        'pg_cron''s launcher crashes and no job runs, because the role does not exist: '
          || string_agg(format('job %s of role %s', j.jobid, j.username), ', '),
        'the role of every visible job exists', string_agg(format('select cron.unschedule(%s);', j.jobid), ' ')
      from cron.job j where to_regrole(quote_ident(j.username)) is null;
    end if;
    if v_job.created_by is not null and has_table_privilege('pg_roles', 'select') then
      return query values ('job_role', 'error',
        case when exists (select from pg_roles r where r.rolname = v_job.created_by and not r.rolcanlogin) then
          format('role %s, as which the job runs, may not log in', v_job.created_by) end,
        format('role %s may log in', v_job.created_by), format('alter role %I login; -- as a superuser', v_job.created_by));
    end if;
  end if;
  -- the launcher and the running jobs have a name that every role sees, but only if that is not closed either
  return query values ('pg_cron_launcher', 'error',
    case when (v_late or pg_has_role('pg_read_all_stats', 'usage'))
        and current_setting('in_hot_standby') = 'off'
        and not exists (select from pg_stat_get_activity(null) a where a.application_name = 'pg_cron scheduler')
      then 'pg_cron''s launcher does not run, so no job in the cluster does' end,
    'pg_cron''s launcher runs, or will after promotion',
    format(e'-- %sas a superuser:\n', 'in database ' || nullif(v_cron_database, current_database()) || ', ')
      || 'select cron.unschedule(jobid) from cron.job where to_regrole(quote_ident(username)) is null;'
      || ' -- the launcher crashes if the role of a job does not exist; otherwise see the server''s log, and restart it');
  if not pg_has_role('pg_read_all_settings', 'usage') then return; end if;
  v_libraries := current_setting('shared_preload_libraries');
  v_off := coalesce(current_setting('cron.launch_active_jobs', true) = 'off', false);
  select count(*) into v_running
  from pg_stat_get_activity(null) a
  where (a.application_name ~ '^pg_cron' or a.backend_type ~ '^pg_cron') and a.application_name <> 'pg_cron scheduler';
  return query
  select c.check_name, c.level, c.failure, c.success,
    case when current_setting('is_superuser')::boolean and current_setting('allow_alter_system', true) is distinct from 'off'
      then format('alter system set %s; -- then %s', c.setting, c.activate)
      else format('-- in the configuration of the server: %s, then %s', c.setting, c.activate) end
  from (values
    ('pg_cron_preloaded', 'error',
      case when v_libraries !~ '(^|[, "])pg_cron($|[, "])' then
        'shared_preload_libraries does not name pg_cron, so no job in the cluster runs' end,
      'shared_preload_libraries names pg_cron', 'shared_preload_libraries = '
        || regexp_replace(quote_literal(concat_ws(',', nullif(v_libraries, ''), 'pg_cron')), ' *, *', ''', ''', 'g'),
      'restart the server'),
    ('pg_cron_settings', 'error',
      case
        when v_off then 'cron.launch_active_jobs is off, so no job in the cluster runs'
        when current_setting('cron.database_name', true) <> v_cron_database then
          format('pg_cron runs the jobs of database %s, not of %s', current_setting('cron.database_name'), v_cron_database)
      end,
      format('pg_cron runs the jobs of database %s', current_setting('cron.database_name', true)),
      case when v_off then 'cron.launch_active_jobs = on' else format('cron.database_name = %L', v_cron_database) end,
      case when v_off then 'select pg_reload_conf();' else 'restart the server' end),
    ('pg_cron_workers', 'warning',
      case when v_late and current_setting('cron.use_background_workers', true) is distinct from 'on' then
        'pg_cron connects to localhost like a client, which fails if a password is required' end,
      'pg_cron can start jobs', 'cron.use_background_workers = on', 'restart the server'),
    ('pg_cron_capacity', 'error',
      case when v_late is not false and v_running >= current_setting('cron.max_running_jobs', true)::integer then
        format('%s of cron.max_running_jobs = %s run, so the job has to wait', v_running,
          current_setting('cron.max_running_jobs')) end,
      'cron.max_running_jobs leaves room for the job', 'cron.max_running_jobs = ' || 2 * v_running, 'restart the server')
  ) c (check_name, level, failure, success, setting, activate);

  if v_knows then
    return query values ('pg_cron_timezone', 'warning',
      case when current_setting('cron.timezone', true) not in ('GMT', 'UTC')
          and v_job.next_tick_at is null and v_settings.schedule !~ 'second' then
        format('cron.timezone is %s, so the hours of the schedule %s are not GMT', current_setting('cron.timezone'),
          v_settings.schedule) end,
      'cron.timezone does not change when the job is called',
      case when v_job.elsewhere then 'alembic -x cron_url=postgresql://... -x schedule=''*/15 * * * *'' upgrade head'
        else 'select class_activation.schedule(''*/15 * * * *'');' end);
  end if;
end;
$function$;
comment on function class_activation.doctor_pg_cron() is
'Part of doctor: the job in pg_cron and the server, as far as the calling role sees them. It writes nothing.';
