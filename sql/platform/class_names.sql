-- A name is not worth a run: where another role made the tier in the restructuring, the owner may not read it yet.
create or replace function class_activation.class_names(p_class_ids integer[])
returns table (class_id integer, class_name text)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set row_security = off
as $function$
declare
  v_platform constant record := class_activation.platform();
begin
  if has_table_privilege('public.program_classes', 'select') then
    return query execute format(
      'select c.id, (select t.name::text from public.program_classes t where t.id = c.%I)'
        || ' from public.%I c where c.id = any ($1)',
      v_platform.name_key, v_platform.label
    )
    using p_class_ids;
  else
    return query select i.id, null::text from unnest(p_class_ids) i (id);
  end if;
end;
$function$;

revoke execute on function class_activation.class_names(integer[]) from public;

comment on function class_activation.class_names(integer[]) is
'The names that people see of p_class_ids: in the shape with cohorts, those of their class tiers;
null where the calling role may not read them.';
