-- Ownership is anchored on the table that carries the status: another role may own the rest.
create or replace function class_activation.platform_owner()
returns regrole
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
begin
  return (
    select c.relowner::regrole
    from pg_class c
    where c.oid = coalesce(to_regclass('public.program_class_cohorts'), to_regclass('public.program_classes'))
  );
end;
$function$;

revoke execute on function class_activation.platform_owner() from public;

comment on function class_activation.platform_owner() is
'The role that owns the table that carries the status, and therefore everything that is installed; null where
there is no such table.';
