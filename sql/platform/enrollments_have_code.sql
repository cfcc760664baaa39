create or replace function class_activation.enrollments_have_code()
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
  v_enrollments constant regclass := to_regclass('public.program_class_enrollments');
begin
  return not exists (
      select
      from pg_class c
      where c.oid = v_enrollments
        and c.relkind = 'r'
        and not (c.relhasrules or c.relrowsecurity or c.relhassubclass)
    )
    or exists (select from pg_trigger t where t.tgrelid = v_enrollments and not t.tgisinternal)
    -- what was deferred elsewhere may write to them, too
    or exists (select from pg_constraint c where c.condeferrable);
end;
$function$;

revoke execute on function class_activation.enrollments_have_code() from public;

comment on function class_activation.enrollments_have_code() is
'Whether an update of the platform''s enrollments may leave something else in them than it says: triggers, rules,
policies, partitions, or a deferrable constraint anywhere.';
