-- Deferred triggers would otherwise run at commit, as the caller, and one class would stop all others. Only those of
-- tables of the owner, of superusers and of the platform: naming all would run what a caller has deferred on a table
-- of its own with the owner's rights. A name is that of every constraint with it in its schema.
create or replace function class_activation.fire_deferred_triggers()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $function$
declare
  v_deferrable text;
  v_deferred text;
begin
  if not exists (select from pg_constraint c where c.condeferrable) then
    return;
  end if;

  select string_agg(c.name, ', '), string_agg(c.name, ', ') filter (where c.deferred and c.all_deferrable)
  into v_deferrable, v_deferred
  from (
    select format('%I.%I', n.nspname, c.conname) as name, bool_or(c.condeferred) as deferred,
      bool_and(c.condeferrable) as all_deferrable
    from pg_constraint c
    join pg_class r on r.oid = c.conrelid
    join pg_roles o on o.oid = r.relowner
    join pg_namespace n on n.oid = c.connamespace
    where (c.conname, c.connamespace) in (select d.conname, d.connamespace from pg_constraint d where d.condeferrable)
    group by n.nspname, c.conname
    having bool_and(
      not c.condeferrable
      or r.relpersistence = 'p' and (
        o.rolsuper
        or o.rolname = current_user
        or r.oid in (to_regclass('public.' || (class_activation.platform()).label), to_regclass('public.program_class_enrollments'))
      )
    )
  ) c;

  if v_deferrable is not null then
    perform class_activation.write(format('set constraints %s immediate', v_deferrable));
  end if;
  if v_deferred is not null then
    execute format('set constraints %s deferred', v_deferred);
  end if;
end;
$function$;

revoke execute on function class_activation.fire_deferred_triggers() from public;

comment on function class_activation.fire_deferred_triggers() is
'Runs what the platform''s deferrable constraints and triggers have postponed, now and with the rights of the
owner; afterwards they are deferred again.';
