create or replace function class_activation.schedule(p_schedule text default null, p_not_before time default null)
returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set row_security = on
as $function$
declare
  v_settings class_activation.settings;
  v_job record;
  v_other name;
  v_jobid bigint;
begin
  update class_activation.settings s
  set schedule = coalesce(p_schedule, s.schedule), not_before = coalesce(p_not_before, s.not_before)
  returning s.* into v_settings;
  if not found then
    raise exception using errcode = '55000',
      message = 'class_activation.settings has no row',
      hint = 'insert into class_activation.settings default values;';
  end if;
  v_job := class_activation_internal.job();

  if v_job.elsewhere or v_job.version is null then
    if p_schedule is null and p_not_before is not null then
      return null;  -- the next tick reads it
    end if;
    raise exception using errcode = '55000',
      message = case when v_job.elsewhere then format('the job is in another database, %I', v_job.cron_database)
        else format('extension pg_cron is not in database %I', current_database()) end,
      hint = case when v_job.elsewhere then format('Run in database %I', v_job.cron_database)
          else 'If it is in another database, run there' end
        || format(', as %s: %s %s Then here: update class_activation.settings set schedule = %L, not_before = %L,'
          || ' cron_database = %L, job_database = %L, job_username = %L, scheduled_at = now();',
          case when v_job.role_is_gone then 'a superuser' else format('role %I or a superuser', v_job.username) end,
          v_job.clear, v_job.put, v_settings.schedule, v_settings.not_before,
          case when v_job.elsewhere then v_job.cron_database else 'THAT DATABASE' end, current_database(), v_job.username)
        || case when v_job.elsewhere then '' else
          format(' Alembic does both with -x cron_url=postgresql://... If it is in no database yet, let a superuser run'
            || ' here: create extension pg_cron; grant usage on schema cron to %I;', current_user) end;
  elsif v_job.visible is null then
    raise exception using errcode = '42501',
      message = format('role %I may not use schema cron', current_user),
      hint = format('Let a superuser run: grant usage on schema cron to %I;', current_user);
  end if;
  -- another job on top would run besides, or crash pg_cron's launcher if its role is gone
  v_other := coalesce(
    case when not v_job.visible or v_job.username <> current_user or v_job.role_is_gone then v_job.created_by end,
    (select min(j.username)::name from cron.job j where j.jobname = v_job.jobname and j.username <> current_user));
  if v_other is not null and not current_setting('is_superuser')::boolean then
    raise exception using errcode = '42501',
      message = format('the pg_cron job belongs to role %I, and only that role or a superuser can change it', v_other),
      hint = case when v_job.role_is_gone then
          'That role was renamed or dropped, and pg_cron''s launcher crashes if it meets the job. If it is now '
          || format('%1$s: alter role %1$s rename to %2$I; Otherwise run as a superuser: ',
            (select n.nspowner::regrole from pg_namespace n where n.nspname = 'class_activation'), v_other)
          else format('Run as role %I or a superuser: ', v_other) end || format('select class_activation.schedule(%s);',
          concat_ws(', ', 'p_schedule => ' || quote_literal(p_schedule), 'p_not_before => ' || quote_literal(p_not_before)));
  end if;
  execute v_job.clear;
  execute v_job.put into v_jobid;
  update class_activation.settings s
  set cron_database = current_database(), job_database = current_database(), job_username = v_job.username,
    scheduled_at = now();
  return v_jobid;
end;
$function$;
comment on function class_activation.schedule(text, time) is
'Creates, changes or repairs the job in pg_cron, sets schedule and hour in class_activation.settings, and returns the jobid.
  p_schedule     cron expression in GMT (default: as set; at first every 15 minutes, when each zone''s 5 AM falls)
  p_not_before   local time of day at which a class becomes Active on its start date (default: as set; at first 05:00);
                 counts from the next tick
If pg_cron is in another database, the hour alone is set and null returned; for the rest, the error says what to run there.
Errors: 55000 pg_cron is not in this database, or class_activation.settings has no row; 42501 no usage on schema cron, or
the job belongs to another role.';
