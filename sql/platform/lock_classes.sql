-- "for update" collides with the key share lock that the foreign key of a new enrollment takes: a class waits
-- until the resident who is being enrolled is there to get a date. "no key update" does not.
create or replace function class_activation.lock_classes(
  p_class_ids integer[],
  p_status text,
  p_strength text default 'update'
)
returns integer[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set row_security = off
as $function$
declare
  v_class_ids integer[];
begin
  execute format(
    'select array(select c.id from public.%I c where c.id = any ($1) and ($2 is null or c.status::text = $2)'
      || ' for %s skip locked)',
    (class_activation.platform()).label, p_strength
  )
  into v_class_ids
  using p_class_ids, p_status;
  return v_class_ids;
end;
$function$;

revoke execute on function class_activation.lock_classes(integer[], text, text) from public;

comment on function class_activation.lock_classes(integer[], text, text) is
'Locks those of p_class_ids that have status p_status (null: any) and that no other session has locked, and
returns their ids. p_strength: update, or no key update.';
