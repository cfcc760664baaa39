-- The repeatable part: functions, comments, owner and rights, the index. If nothing differs afterwards, all of it is
-- rolled back, so that no row of the catalog is new.
do $do$
declare
  v_owner constant regrole := current_setting('class_activation.owner')::oid;
  v_before constant jsonb := current_setting('class_activation.before');
  v_revision constant text := current_setting('class_activation.revision');
  v_signatures constant text[] := array[{functions}];
  v_definitions constant text[] := array[
{definitions}
  ];
  v_functions oid[];
  v_tables constant oid[] := array(select to_regclass(t) from unnest(array[{tables}]) t);
  v_classes constant regclass := current_setting('class_activation.classes')::oid;
  v_statement text;
  v_rows boolean;
  v_report text;
begin
  for i in 1..cardinality(v_signatures) loop
    begin
      execute v_definitions[i];
    exception when invalid_function_definition then
      -- another result type or other parameter names; its grants are restored below
      execute format('drop function %s', v_signatures[i]);
      execute v_definitions[i];
    end;
  end loop;
{comments}
  v_functions := array(select to_regprocedure(f) from unnest(v_signatures) f);

  foreach v_statement in array array(
    with installed as (
      select o.*, (v_before #>> array[o.name, 'oid'])::oid is distinct from o.oid as created
      from class_activation_internal.objects() o
      where o.kind = 'schema' or o.oid = any (v_functions) or o.kind <> 'comment' and o.oid = any (v_tables)
    ), statement (position, text) as (
      -- functions that only an earlier release had
      select 1, format('drop %s', o.name)
      from class_activation.installed_objects i
      join class_activation_internal.objects() o on o.name = i.name
      where o.kind = 'function' and o.oid <> all (v_functions)
      union all
      -- the job has the rights of the platform's owner and never more, no matter which role deploys
      select 2, format('alter %s owner to %s', o.name, v_owner)
      from installed o where o.owner <> v_owner and o.kind <> 'sequence'
      union all
      -- Default privileges may have granted rights on new objects. Rights to read stay, for backups.
      select 3, format('revoke %s on %s from %s', string_agg(a.privilege_type, ', '), o.name,
        case when a.grantee = 0 then 'public' else a.grantee::regrole::text end)
      from installed o
      cross join lateral aclexplode(coalesce(o.acl, case when o.kind = 'function' then acldefault('f', o.owner) end)) a
      where a.grantee not in (o.owner, v_owner)
        and (
          a.grantee = 0 and o.kind = 'function'
          or o.created and (o.kind, a.privilege_type) not in (('schema', 'USAGE'), ('sequence', 'SELECT'), ('table', 'SELECT'))
        )
      group by o.name, a.grantee
      union all
      -- grants on a function that was dropped and recreated
      select 4, format('grant execute on %s to %s', o.name, a.grantee::regrole)
        || case when a.is_grantable then ' with grant option' else '' end
      from installed o
      cross join lateral aclexplode((v_before #>> array[o.name, 'acl'])::aclitem[]) a
      where o.kind = 'function' and o.created and a.grantee not in (0, v_owner)
      union all
      -- a dump may have been restored without it
      select 5, format('grant usage on %s to public', o.name)
      from installed o where o.kind = 'schema' and not has_schema_privilege('public', o.oid, 'usage')
    )
    select s.text from statement s order by s.position
  ) loop
    execute v_statement;
  end loop;

  -- As late as possible, since the table's writers wait from here to the commit. Plain columns, no predicate: a
  -- predicate on status would block the platform's own changes of its type.
  begin
    perform from pg_index i where i.indexrelid = to_regclass('public.class_activation_due_idx') and not i.indisvalid;
    if found then drop index public.class_activation_due_idx; end if;
    if to_regclass('public.class_activation_due_idx') is null then
      execute format('create index class_activation_due_idx on %s (status, start_dt)', v_classes);
    end if;
    comment on index public.class_activation_due_idx is
      'Of class_activation: with it, a run reads only the Scheduled classes that may be due.';
  exception when lock_not_available then
    raise exception using
      errcode = '55P03',
      message = format('%s is in use: its index class_activation_due_idx could not be built', v_classes),
      detail = 'Sessions that have locked it: ' || (
        select string_agg(distinct l.pid::text, ', ') from pg_locks l where l.relation = v_classes and l.granted),
      hint = 'Nothing was changed. Repeat when their transactions have ended (select pg_terminate_backend(PID); ends one), or'
        || ' first build the index without blocking writers:'
        || format(' create index concurrently class_activation_due_idx on %s (status, start_dt);', v_classes);
  end;

  -- after a restore of the rows alone
  perform setval('class_activation.runs_id_seq', r.newest)
  from (select max(s.id) from class_activation.runs s) r (newest)
  where r.newest >= (select q.last_value + q.is_called::integer from class_activation.runs_id_seq q);
  v_rows := found;
  insert into class_activation.settings default values on conflict do nothing;
  v_rows := v_rows or found;
  delete from class_activation.installed_objects i
  where not exists (select from class_activation_internal.objects() o where o.name = i.name);
  v_rows := v_rows or found;
  insert into class_activation.installed_objects as i (name, definition)
  select o.name, o.definition
  from class_activation_internal.objects() o
  where o.kind in ('schema', 'comment', 'index') or o.oid = any (v_functions || v_tables)
  on conflict (name) do update set definition = excluded.definition where i.definition <> excluded.definition;
  v_rows := v_rows or found;

  with change as (
    select coalesce(b.key, o.name) as name, coalesce(b.value ->> 'kind', o.kind) as kind,
      case when o.name is null then 'dropped' when b.key is null then 'created' else 'replaced' end as action
    from jsonb_each(v_before) b
    full join class_activation_internal.objects() o on o.name = b.key
    where (b.value ->> 'owner', b.value ->> 'acl', b.value ->> 'definition')
      is distinct from (o.owner::bigint::text, o.acl::text, o.definition)
  ), summary (line) as (
    select format('%s %s', c.action, case when count(*) > 3 then format('%s %ss', count(*), c.kind)
      else string_agg(c.name, ', ' order by c.name) end)
    from change c where v_revision <> '' or c.kind in ('function', 'table')
    group by c.action, c.kind
  )
  select string_agg(s.line, '; ' order by s.line) into v_report from summary s;
  if v_revision <> class_activation.version() then
    v_report := concat_ws(' ', 'installed class activation', class_activation.version(),
      'in place of ' || nullif(v_revision, ''), format('(%s)', v_report));
  end if;
  if v_report is null and not v_rows then raise sqlstate 'CA000'; end if;
  perform set_config('class_activation.report', coalesce(v_report, 'restored rows'), true);
exception when sqlstate 'CA000' then null;
end;
$do$;
