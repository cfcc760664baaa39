-- Deferred triggers would otherwise run at commit, as the caller, and one class would stop all others. Only those
-- of the platform: naming all would run what a caller has deferred on a table of its own with the owner's rights.
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
  select string_agg(c.name, ', '), string_agg(c.name, ', ') filter (where c.condeferred)
  into v_deferrable, v_deferred
  from (
    select format('%I.%I', n.nspname, c.conname) as name, bool_or(c.condeferred) as condeferred
    from pg_constraint c
    join pg_class r on r.oid = c.conrelid
    join pg_namespace n on n.oid = c.connamespace
    where c.condeferrable
      and r.relpersistence = 'p'
      and (
        r.relowner = current_user::regrole
        or r.oid in (to_regclass('public.' || (class_activation.platform()).label), to_regclass('public.program_class_enrollments'))
      )
    group by n.nspname, c.conname
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
