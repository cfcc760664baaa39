-- The job must not outlive its function: a job that may be left behind makes the downgrade fail.
do $do$
begin
  perform class_activation.unschedule();
exception when undefined_function then
  raise exception using
    errcode = '55000',
    message = 'the pg_cron job cannot be removed: ' || sqlerrm,
    hint = 'Nothing was changed. First run alembic upgrade head, then repeat.';
end;
$do$;
