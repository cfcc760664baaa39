create or replace function class_activation.unschedule()
returns integer
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set row_security = on
as $function$
declare
  v_job constant record := class_activation_internal.job();
  v_removed integer := 0;
begin
  if v_job.elsewhere then
    raise exception using errcode = '55000',
      message = format('the pg_cron job is in another database, %I', v_job.cron_database),
      hint = format('Run in database %I, as role %I or a superuser: %s', v_job.cron_database, v_job.created_by, v_job.remove)
        || ' Then here: update class_activation.settings set cron_database = null, job_database = null, job_username = null;'
        || ' Alembic does both with -x cron_url=postgresql://...';
  elsif v_job.created_by is not null and v_job.version is not null and v_job.visible is not true then
    raise exception using errcode = '42501',
      message = format('the pg_cron job of role %I is not visible to role %I', v_job.created_by, current_user),
      hint = format('Let role %I or a superuser run: select class_activation.unschedule();', v_job.created_by);
  end if;

  if v_job.visible is not null then
    execute v_job.remove;
    get diagnostics v_removed = row_count;
  end if;
  update class_activation.settings s
  set cron_database = null, job_database = null, job_username = null, scheduled_at = now();
  return v_removed;
end;
$function$;
comment on function class_activation.unschedule() is
'Removes the job from pg_cron and returns how many it removed; 0 is fine. class_activation.schedule() creates it again, with
the schedule and the hour as they were. To stop it for a while, class_activation.pause() is better.
Errors, with the statement to run: 55000 the job is in another database; 42501 the caller cannot see the job of its role.';
