-- Each class is written once, because every update of it becomes a row of its history; the row in the change log
-- is the one that the screens would add, and the only one that staff see.
create or replace function class_activation.write_status(
  p_class_ids integer[],
  p_from text,
  p_to text,
  p_author integer
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $function$
declare
  v_platform constant record := class_activation.platform();
begin
  perform class_activation.write(
    format(
      'update public.%I set status = %L, updated_at = pg_catalog.now(), update_user_id = $2'
        || ' where id operator(pg_catalog.=) any ($1)',
      v_platform.label, p_to
    ),
    p_class_ids, p_author
  );
  if v_platform.change_log then
    perform class_activation.write(
      format(
        'insert into public.change_log_entries'
          || ' (table_name, parent_ref_id, field_name, old_value, new_value, created_at, user_id)'
          || ' select %L, c.id, ''status'', %L, %L, pg_catalog.now(), $2 from pg_catalog.unnest($1) c (id)',
        v_platform.label, p_from, p_to
      ),
      p_class_ids, p_author
    );
  end if;
end;
$function$;

revoke execute on function class_activation.write_status(integer[], text, text, integer) from public;

comment on function class_activation.write_status(integer[], text, text, integer) is
'Gives p_class_ids, whose status is p_from, the status p_to in the name of p_author, and adds one entry for each
to the change log, where the platform has one.';
