-- Each class is updated once, because every update adds a row to its history. The entry in the change log is the one that
-- the screens would add, and the only one that staff see.
create or replace function class_activation_internal.write_status(
  p_class_ids integer[], p_from text, p_to text, p_user_id integer
)
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $function$
declare
  v_change_log constant text := class_activation_internal.platform_sql(format(
    'insert into {change_log} (table_name, parent_ref_id, field_name, old_value, new_value, created_at, user_id)'
      || ' select ''{class_table}'', c.id, ''status'', %L, %L, pg_catalog.now(), $2 from pg_catalog.unnest($1) c (id)',
    p_from, p_to
  ));
begin
  perform class_activation_internal.execute_as_application(class_activation_internal.platform_sql(format(
    'update {classes} set status = %L, updated_at = pg_catalog.now(), update_user_id = $2'
      || ' where id operator(pg_catalog.=) any ($1)', p_to
  )), p_class_ids, p_user_id);
  if v_change_log is not null then
    perform class_activation_internal.execute_as_application(v_change_log, p_class_ids, p_user_id);
  end if;
end;
$function$;
comment on function class_activation_internal.write_status(integer[], text, text, integer) is
'Changes the status of p_class_ids in the name of p_user_id, and adds entries to the change log, if there is one.';
