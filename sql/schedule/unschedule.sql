create or replace function class_activation.unschedule()
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set row_security = on
as $function$
declare
  v_cron_database constant name := (select s.cron_database from class_activation.settings s);
  v_removed integer := 0;
begin
  if v_cron_database is not null then
    raise exception using
      errcode = '55000',
      message = format('the job is scheduled from another database, %I', coalesce(nullif(v_cron_database, ''), 'pg_cron''s')),
      hint = 'Run there: select cron.unschedule(jobid) from cron.job where jobname in ('
        || (select string_agg(quote_literal(j.jobname), ', ') from class_activation.jobs() j)
        || format(') and database = %L;', current_database());
  end if;
  update class_activation.settings s set active = false where s.active is distinct from false;
  if class_activation.may_use_pg_cron() then
    perform cron.unschedule(j.jobid)
    from cron.job j
    where j.jobname in (select o.jobname from class_activation.jobs() o)
      and j.database = current_database();
    get diagnostics v_removed = row_count;
  end if;
  return v_removed;
end;
$function$;

revoke execute on function class_activation.unschedule() from public;

comment on function class_activation.unschedule() is
'Pauses the job: removes the pg_cron jobs of this database, as far as the calling role sees them, and returns how many
it removed; 0 is fine. class_activation.schedule() resumes with the schedule and the hour as they were.
Errors: 55000 the job is scheduled from another database.';
