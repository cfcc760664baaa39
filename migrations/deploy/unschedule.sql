-- The job must not outlive its function: a job that may be left behind makes the downgrade fail.
do $do$
begin
  if not current_setting('class_activation.trusted')::boolean then
    if exists (select from class_activation.settings s where s.job_username is not null) then
      raise exception 'the owner of schema class_activation does not own the platform''s table of classes' using
        errcode = '42501',
        hint = 'Nothing was changed. Let that role remove the pg_cron job: select class_activation.unschedule();';
    end if;
    return;  -- a superuser runs no functions of that role
  end if;
  perform class_activation.unschedule();
exception when undefined_function then
  raise exception using
    errcode = '55000',
    message = 'the pg_cron job cannot be removed: ' || sqlerrm,
    hint = 'Nothing was changed. First run alembic upgrade head, then repeat.';
end;
$do$;
