-- The job must not outlive its function: it would fail at every tick. So it is removed where it can be seen, and
-- where one may be left behind the downgrade is refused.
do $do$
declare
  v_settings class_activation.settings;
  v_jobs text;
  v_removed integer := 0;
begin
  select s.* into v_settings from class_activation.settings s;
  v_jobs := 'select cron.unschedule(jobid) from cron.job where jobname in (''activate_scheduled_classes'','
    || format(' ''class_activation_housekeeping'') and database = %L', current_database());

  if v_settings.cron_database is not null then
    raise exception using
      errcode = '55000',
      message = 'the pg_cron job was created from another database, and must be removed there first',
      hint = 'Repeat with -x cron_url=postgresql://... of pg_cron''s database. Where that does not exist any more:'
        || ' update class_activation.settings set cron_database = null;';
  elsif exists (select from pg_extension e where e.extname = 'pg_cron') then
    if has_schema_privilege('cron', 'usage') then
      execute v_jobs;
      get diagnostics v_removed = row_count;
    end if;
    if v_removed = 0 and v_settings.active and not (select r.rolsuper from pg_roles r where r.rolname = current_user) then
      raise exception using
        errcode = '42501',
        message = format('the pg_cron job is not visible to role %I, and must be removed first', current_user),
        hint = format('Let the role of the job or a superuser run: %s; Where there is none any more:', v_jobs)
          || ' update class_activation.settings set active = false;';
    end if;
  end if;
end;
$do$;
