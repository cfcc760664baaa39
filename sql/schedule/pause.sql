create or replace function class_activation.pause(p_until timestamptz default null)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
  if p_until <= now() then
    raise exception using errcode = '22023',
      message = format('p_until must be in the future (%s)', p_until),
      hint = 'Omit p_until to pause the job until class_activation.resume() is called.';
  end if;
  update class_activation.settings s set paused_until = coalesce(p_until, 'infinity');
  if not found then
    raise exception using errcode = '55000',
      message = 'class_activation.settings has no row',
      hint = 'insert into class_activation.settings default values;';
  end if;
end;
$function$;
comment on function class_activation.pause(timestamptz) is
'Pauses the job until p_until (default: until class_activation.resume() is called), from the next tick on. pg_cron goes on
calling, and nothing is activated; activate_scheduled_classes() called by hand still runs. An upgrade keeps the pause.
Errors: 22023 p_until is not in the future; 55000 class_activation.settings has no row.';
