create or replace function class_activation.resume()
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $function$
declare
  v_paused_until constant timestamptz := (select s.paused_until from class_activation.settings s);
begin
  update class_activation.settings s set paused_until = null where s.paused_until is not null;
  return coalesce(v_paused_until > now(), false);
end;
$function$;

comment on function class_activation.resume() is
'Ends a pause: the next tick activates everything that is due. Returns whether the job was paused.';
