-- Deferred triggers would run at commit, outside the subtransaction of their class, so that one class would stop all
-- others. They run now, as the owner, but only if the caller has the owner's rights anyway: a caller may have deferred
-- triggers of its own. For any other caller they stay deferred and run at commit, as that caller.
create or replace function class_activation_internal.fire_deferred_triggers()
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $function$
declare
  v_caller constant name := coalesce(nullif(current_setting('role'), 'none')::name, session_user);
  v_initially_deferred text;
begin
  if not pg_has_role(v_caller, current_user, 'usage') or not exists (select from pg_constraint c where c.condeferrable) then
    return;
  end if;
  perform class_activation_internal.execute_as_application('set constraints all immediate');

  -- SET CONSTRAINTS rejects a schema without usage, and a name that a constraint which is not deferrable also has there
  select string_agg(c.name, ', ') into v_initially_deferred
  from (
    select format('%s.%I', d.connamespace::regnamespace, d.conname) as name
    from pg_constraint d
    where has_schema_privilege(d.connamespace, 'usage')
    group by d.connamespace, d.conname
    having bool_or(d.condeferred) and bool_and(d.condeferrable)
  ) c;
  if v_initially_deferred is not null then
    execute format('set constraints %s deferred', v_initially_deferred);
  end if;
end;
$function$;
comment on function class_activation_internal.fire_deferred_triggers() is
'Runs the platform''s deferred triggers and constraints now, as the owner, if the caller has the rights of the owner.';
