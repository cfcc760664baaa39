create or replace function class_activation.resume()
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
  update class_activation.settings s set paused_until = null where s.paused_until > now();
  return found;
end;
$function$;
comment on function class_activation.resume() is
'Ends a pause: the next tick activates everything that is due. Returns whether the job was paused.';
