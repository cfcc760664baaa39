-- The extension is looked for, and not just a schema of that name: what another role planted in it would run with
-- the owner's rights.
create or replace function class_activation.may_use_pg_cron()
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
begin
  return exists (
    select
    from pg_extension e
    join pg_namespace n on n.nspname = 'cron'
    where e.extname = 'pg_cron'
      and has_schema_privilege(n.oid, 'usage')
  );
end;
$function$;

revoke execute on function class_activation.may_use_pg_cron() from public;

comment on function class_activation.may_use_pg_cron() is
'Whether extension pg_cron is in this database and the calling role may use its schema.';
