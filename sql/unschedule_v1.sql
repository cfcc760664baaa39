create function class_activation.unschedule()
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $function$
declare
  v_removed integer := 0;
begin
  if class_activation.may_use_pg_cron() then
    perform cron.unschedule(j.jobid)
    from cron.job j
    where j.jobname = 'activate_scheduled_classes'
      and j.database = current_database();
    get diagnostics v_removed = row_count;
  end if;
  return v_removed;
end;
$function$;

revoke execute on function class_activation.unschedule() from public;

comment on function class_activation.unschedule() is
'Removes the pg_cron job activate_scheduled_classes of this database, as far as the calling role sees
it, and returns how many jobs it removed; 0 is fine.';
