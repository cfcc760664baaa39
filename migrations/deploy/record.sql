-- At the end: the rows that must be there, the objects as they are now, and what the deployment has changed.
do $do$
declare
  v_before constant jsonb := current_setting('class_activation.before');
  v_revision constant text := current_setting('class_activation.revision');
  v_rows boolean;
  v_report text;
begin
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
  where o.kind in ('schema', 'comment', 'index')
    or o.oid in (select to_regprocedure(f) from unnest(array[{functions}]) f)
    or o.oid in (select to_regclass(t) from unnest(array[{tables}]) t)
  on conflict (name) do update
  set definition = excluded.definition
  where i.definition <> excluded.definition;
  v_rows := v_rows or found;

  with change as (
    select coalesce(b.key, o.name) as name, coalesce(b.value ->> 'kind', o.kind) as kind,
      case when o.name is null then 'dropped' when b.key is null then 'created' else 'replaced' end as action
    from jsonb_each(v_before) b
    full join class_activation_internal.objects() o on o.name = b.key
    where (b.value ->> 'owner', b.value ->> 'acl', b.value ->> 'definition')
      is distinct from (o.owner::bigint::text, o.acl::text, o.definition)
  ), summary (line) as (
    select format('%s %s', c.action, case
        when count(*) > 3 then format('%s %ss', count(*), c.kind)
        else string_agg(c.name, ', ' order by c.name)
      end)
    from change c
    group by c.action, c.kind
  )
  select string_agg(s.line, '; ' order by s.line) into v_report from summary s;
  if v_revision = '' then
    select format('installed class activation %s: %s functions, %s tables', class_activation.version(),
      count(*) filter (where o.kind = 'function'), count(*) filter (where o.kind = 'table'))
    into v_report from class_activation_internal.objects() o;
  elsif v_revision <> class_activation.version() then
    v_report := format('upgraded from %s to %s: %s', v_revision, class_activation.version(), v_report);
  end if;
  perform set_config('class_activation.report',
    coalesce(v_report, case when v_rows then 'restored rows' else 'nothing to do' end), true);
end;
$do$;
