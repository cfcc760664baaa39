-- A name is not worth a run: where another role made the tier in the restructuring, the owner may not read it yet.
create or replace function class_activation.class_details(p_class_ids integer[])
returns table (class_id integer, class_name text, facility_id integer, start_dt date)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set row_security = off
as $function$
declare
  v_platform constant record := class_activation.platform();
begin
  return query execute format(
    'select c.id, %s, c.facility_id, c.start_dt from public.%I c where c.id = any ($1)',
    case
      when not has_table_privilege('public.program_classes', 'select') then 'null::text'
      when v_platform.name_key = 'id' then 'c.name::text'
      else format('(select t.name::text from public.program_classes t where t.id = c.%I)', v_platform.name_key)
    end,
    v_platform.label
  )
  using p_class_ids;
end;
$function$;

revoke execute on function class_activation.class_details(integer[]) from public;

comment on function class_activation.class_details(integer[]) is
'Of p_class_ids the name that people see (in the shape with cohorts that of the class tier; null where the calling role
may not read it), the facility and the start date.';
