-- "for update" conflicts with the key share lock that the foreign key of a new enrollment takes: the class is skipped
-- until that resident is there to be backfilled. "no key update" does not conflict with it.
create or replace function class_activation_internal.lock_classes(
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
  execute class_activation_internal.platform_sql(
    'select array(select c.id from {classes} c where c.id = any ($1) and ($2 is null or c.status::text = $2)'
      || format(' for %s skip locked)', p_strength)
  )
  into v_class_ids
  using p_class_ids, p_status;
  return v_class_ids;
end;
$function$;

comment on function class_activation_internal.lock_classes(integer[], text, text) is
'Locks those of p_class_ids that have status p_status (null: any) and that no other session has locked, and
returns their ids. p_strength: update, or no key update.';
