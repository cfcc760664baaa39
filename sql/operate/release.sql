create or replace function class_activation.release(p_class_id integer)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
  delete from class_activation.holds h where h.class_id = p_class_id;
  return found;
end;
$function$;
comment on function class_activation.release(integer) is
'Ends the hold that revert put on the class, so that it is activated again when it is due. Returns whether there was one.
Changing the start date or the status of the class in the platform has the same effect.';
