-- What pg_cron calls, wherever it lives. Housekeeping comes last, in blocks of its own, so that it cannot undo or delay
-- a run; pruning the ticks first makes it happen once a day.
create or replace function class_activation.tick()
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set row_security = on
set lock_timeout = '2s'
as $function$
declare
  v_activated bigint;
begin
  insert into class_activation.ticks (ticked_at) values (now());
  if exists (select from class_activation.settings s where s.paused_until > now()) then
    return null;
  end if;

  select count(*) into v_activated from class_activation_internal.run(now(), null, null, true);
  if v_activated > 0
    or not exists (select from class_activation.ticks t where t.ticked_at < now() - interval '8 days') then
    return v_activated;
  end if;

  begin
    delete from class_activation.ticks t where t.ticked_at < now() - interval '7 days';
    delete from class_activation.runs r where r.started_at < now() - interval '90 days';
  exception when query_canceled or others then
    raise warning 'housekeeping failed: %', sqlerrm;
  end;
  begin
    if (class_activation_internal.job()).visible and has_table_privilege('cron.job_run_details', 'delete') then
      -- a job that is scheduled again has another jobid, and a run that could not connect has no time
      delete from cron.job_run_details d
      where d.database = current_database()
        and d.command = 'select class_activation.tick()'
        and d.runid <= (select max(o.runid) from cron.job_run_details o where o.start_time < now() - interval '7 days');
    end if;
  exception when query_canceled or others then
    raise warning 'housekeeping of pg_cron''s log failed: %', sqlerrm;
  end;
  return v_activated;
end;
$function$;
comment on function class_activation.tick() is
'What pg_cron calls: records itself in class_activation.ticks, then activates what is due at the hour of
class_activation.settings, unless the job is paused. Once a day, when nothing is due, it also removes ticks older than
7 days, runs older than 90 days and, if pg_cron is in this database, its log of the job that is older than 7 days.
Returns how many classes it activated; null while paused. Errors: as class_activation.activate_scheduled_classes.';
