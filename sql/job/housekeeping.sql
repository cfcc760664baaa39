-- A job of its own, so that nothing here can undo an activation. Row security is on, because pg_cron shows a role
-- its own jobs by policies.
create or replace function class_activation.housekeeping()
returns table (runs_removed bigint, cron_runs_removed bigint)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set row_security = on
set lock_timeout = '2s'
as $function$
declare
  v_commands constant text := 'select (public[.]activate_scheduled_classes|class_activation[.][a-z_]+)[(]';
begin
  delete from class_activation.runs r
  where r.id = any (array(
    select o.id
    from class_activation.runs o
    where o.started_at < now() - interval '90 days'
    for update skip locked
  ));
  get diagnostics runs_removed = row_count;

  cron_runs_removed := 0;
  if class_activation.may_use_pg_cron() and has_table_privilege('cron.job_run_details', 'delete') then
    -- By command, because a job that is scheduled again has another jobid; up to the newest that is old enough,
    -- because a run that could not connect has no time; and in portions, because the log may hold millions.
    delete from cron.job_run_details d
    where d.runid = any (array(
      select o.runid
      from cron.job_run_details o
      where o.database = current_database()
        and o.command ~ v_commands
        and o.runid <= (
          select max(p.runid)
          from cron.job_run_details p
          where p.database = current_database()
            and p.command ~ v_commands
            and p.start_time < now() - interval '7 days'
        )
      order by o.runid
      limit 100000
    ));
    get diagnostics cron_runs_removed = row_count;
  end if;
  return next;
end;
$function$;

revoke execute on function class_activation.housekeeping() from public;

comment on function class_activation.housekeeping() is
'Removes runs older than 90 days, and what pg_cron, where it is in this database, logged of the jobs of class
activation more than 7 days ago: at most 100,000 rows a call, as far as the owner may. pg_cron calls it daily.
Errors: 55P03 pg_cron''s log is locked; the next day makes up for it.';
