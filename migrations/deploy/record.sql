-- At the end: the rows that must be there, the objects as they are now, and what the deployment has changed.
do $do$
declare
  v_before constant jsonb := current_setting('class_activation.before');
  v_revision constant text := current_setting('class_activation.revision');
  v_changed integer;
  v_rows integer := 0;
  v_report text;
begin
  -- after a restore of the rows alone
  perform setval('class_activation.runs_id_seq', r.newest)
  from (select max(s.id) from class_activation.runs s) r (newest)
  where r.newest >= (select q.last_value + q.is_called::integer from class_activation.runs_id_seq q);
  get diagnostics v_changed = row_count;
  v_rows := v_rows + v_changed;

  insert into class_activation.settings default values on conflict do nothing;
  get diagnostics v_changed = row_count;
  v_rows := v_rows + v_changed;

  delete from class_activation.installed_objects i
  where not exists (select from class_activation.objects() o where o.name = i.name);
  get diagnostics v_changed = row_count;
  v_rows := v_rows + v_changed;

  insert into class_activation.installed_objects as i (name, definition)
  select o.name, o.definition
  from class_activation.objects() o
  where o.kind in ('schema', 'comment', 'index')
    or o.oid in (select to_regprocedure(f) from unnest(array[{functions}]) f)
    or o.oid in (select to_regclass(t) from unnest(array[{tables}]) t)
  on conflict (name) do update
  set definition = excluded.definition
  where i.definition <> excluded.definition;
  get diagnostics v_changed = row_count;
  v_rows := v_rows + v_changed;

  if v_revision = '' then
    select format('installed class activation %s with %s functions and %s tables', class_activation.version(),
      count(*) filter (where o.kind = 'function'), count(*) filter (where o.kind = 'table'))
    into v_report
    from class_activation.objects() o;
  else
    with change as (
      select coalesce(b.key, o.name) as name, coalesce(b.value ->> 'kind', o.kind) as kind,
        case when o.name is null then 'dropped' when b.key is null then 'created' else 'replaced' end as action
      from jsonb_each(v_before) b
      full join class_activation.objects() o on o.name = b.key
      where (b.value ->> 'owner', b.value ->> 'acl', b.value ->> 'definition')
        is distinct from (o.owner::bigint::text, o.acl::text, o.definition)
    ), summary as (
      select c.action || ' ' || case
          when count(*) > 3 then format('%s %ss', count(*), c.kind)
          else string_agg(c.name, ', ' order by c.name)
        end as line
      from change c
      group by c.action, c.kind
    )
    select coalesce(string_agg(s.line, '; ' order by s.line), case when v_rows > 0 then 'restored rows of class_activation' end)
    into v_report
    from summary s;
    v_report := concat_ws('; ',
      (select format('from %s to %s', v_revision, n.version_num) from class_activation.alembic_version n
        where n.version_num <> v_revision),
      v_report
    );
  end if;
  perform set_config('class_activation.report', coalesce(nullif(v_report, ''), 'nothing to do'), true);
end;
$do$;
