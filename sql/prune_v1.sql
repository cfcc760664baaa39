-- What grows by itself is cut by the run: its own log at every run, and once a day, because that table
-- has no index for it, what pg_cron wrote about our job.
create function class_activation.prune()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $function$
declare
  v_command constant text := 'select public.activate_scheduled_classes(';
begin
  delete from class_activation.runs r
  where r.id = any (array(
    select o.id
    from class_activation.runs o
    where o.started_at < now() - interval '90 days'
    for update skip locked
  ));

  if (select count(*) from class_activation.runs r where r.started_at >= date_trunc('day', now(), 'UTC')) = 1
    and class_activation.may_use_pg_cron()
    and has_table_privilege('cron.job_run_details', 'delete')
  then
    -- by command, because our job has another jobid after it was unscheduled; and all up to the newest
    -- that is old enough, because a run that could not connect has no time
    delete from cron.job_run_details d
    where d.database = current_database()
      and starts_with(d.command, v_command)
      and d.runid <= (
        select max(o.runid)
        from cron.job_run_details o
        where o.database = current_database()
          and starts_with(o.command, v_command)
          and o.start_time < now() - interval '7 days'
      );
  end if;
end;
$function$;

revoke execute on function class_activation.prune() from public;

comment on function class_activation.prune() is
'Removes runs older than 90 days and, if this is the first run of the day (UTC), the rows older than 7 days
that pg_cron keeps of our job, as far as the calling role may.';
