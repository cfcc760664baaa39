create or replace function class_activation.job_active()
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set row_security = on
set lock_timeout = '200ms'
as $function$
begin
  if not class_activation.may_use_pg_cron() then
    return null;
  end if;
  return (
    select coalesce(bool_or(j.active), false)
    from cron.job j
    where j.jobname = 'activate_scheduled_classes'
      and j.database = current_database()
  );
exception when lock_not_available or insufficient_privilege then
  return null;
end;
$function$;

revoke execute on function class_activation.job_active() from public;

comment on function class_activation.job_active() is
'Whether pg_cron has an active job activate_scheduled_classes for this database; null where it cannot be told.';
