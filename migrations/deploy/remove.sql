-- Removes everything, after Alembic has deleted the last revision. Objects of others in the schemas make it fail.
do $do$
declare
  v_statement text;
  v_stays text := '';
begin
  if current_setting('class_activation.revision') = '' then return; end if;
  foreach v_statement in array array(
    select format('drop %s', o.name)
    from (
{objects}
    ) o (oid, kind, name, owner, acl, definition)
    where o.oid in (select to_regprocedure(f) from unnest(array[{functions}]) f)
      or o.kind = 'function' and o.name in (select i.name from class_activation.installed_objects i)
      or o.kind = 'table' and o.oid in (select to_regclass(t) from unnest(array[{tables}]) t)
    -- functions first; tables in the order in which a tick locks them, so that neither meets a deadlock
    order by o.kind, array_position(array['ticks', 'settings', 'runs'], split_part(o.name, '.', 2)), o.name
  ) loop
    execute v_statement;
  end loop;
  drop schema if exists class_activation_internal, class_activation;

  if exists (
    select from pg_index i where i.indexrelid = to_regclass('public.class_activation_due_idx')
      and pg_get_indexdef(i.indexrelid) ~ '^CREATE INDEX [^ ]+ ON (ONLY )?.+ USING btree \(status, start_dt\)$'
  ) then
    begin
      drop index public.class_activation_due_idx;
    exception when insufficient_privilege then
      v_stays := '; index public.class_activation_due_idx stays, because its table has another owner now';
    end;
  end if;
  perform set_config('class_activation.report', 'removed class activation' || v_stays, true);
end;
$do$;
