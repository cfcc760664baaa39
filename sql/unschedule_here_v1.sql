-- The job must not outlive its function: it would fail every 15 minutes.

do $do$
begin
  if not exists (select from pg_extension e where e.extname = 'pg_cron') then
    raise exception using
      errcode = '55000',
      message = format('extension pg_cron is not in database %I, so the job may be in another', current_database()),
      hint = 'Repeat with -x cron_url=postgresql://... of pg_cron''s database, or, if there is no job, with -x schedule=off.';
  end if;
  perform class_activation.unschedule();
end;
$do$;
