-- A batch locks "for update", which conflicts with the key share lock that the foreign key of a new enrollment takes: the
-- class is skipped until that resident is there to be backfilled. Without a status "for no key update" is enough.
create or replace function class_activation_internal.lock_classes(
  p_class_ids integer[], p_status text, p_lock_enrollments boolean
)
returns integer[]
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $function$
declare
  v_class_ids integer[];
  v_partly_locked integer[];
begin
  execute class_activation_internal.platform_sql(
    'select array(select c.id from {classes} c where c.id = any ($1) and ($2 is null or c.status::text = $2) for '
      || case when p_status is null then 'no key update' else 'update' end || ' skip locked)'
  )
  into v_class_ids
  using p_class_ids, p_status;
  if p_lock_enrollments then
    v_partly_locked := (class_activation_internal.lock_enrollments(v_class_ids)).locked_class_ids;
    return array(select l.class_id from unnest(v_class_ids) l (class_id) where l.class_id <> all (v_partly_locked));
  end if;
  return v_class_ids;
end;
$function$;
comment on function class_activation_internal.lock_classes(integer[], text, boolean) is
'Locks those of p_class_ids that have the status p_status (null: any) and are not locked by another session; with
p_lock_enrollments also their pending enrollments, without the classes of which one is locked. Returns the classes.';
