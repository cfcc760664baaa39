-- The job must not outlive its function: it would fail every 15 minutes.

do $do$
begin
  if obj_description('class_activation'::regnamespace, 'pg_namespace') like '%-x cron_url%' then
    raise exception using
      errcode = '55000',
      message = 'the pg_cron job was created from another database, and must be removed there first',
      hint = 'Repeat with -x cron_url=postgresql://... of pg_cron''s database, or with -x schedule=off to leave the job.';
  end if;
  perform class_activation.unschedule();
end;
$do$;
