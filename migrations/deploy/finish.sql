-- After the functions of sql/ were created or replaced: what belongs to them beside their definition.
do $do$
declare
  v_owner constant regrole := (select c.relowner from pg_class c where c.oid = coalesce(to_regclass('public.program_class_cohorts'), to_regclass('public.program_classes')));
  v_functions constant text[] := array[{functions}];
  v_tables constant text[] := array[
    'class_activation.activations', 'class_activation.alembic_version', 'class_activation.holds',
    'class_activation.installed_objects', 'class_activation.problems',
    'class_activation.runs', 'class_activation.settings', 'class_activation.ticks'
  ];
  v_statement text;
begin
  foreach v_statement in array array(
    -- what an earlier release had and this one has not
    select format('drop function %s', p.oid::regprocedure)
    from class_activation.installed_objects i
    join pg_proc p on i.name = format('function %s', p.oid::regprocedure)
    where p.oid::regprocedure::text <> all (v_functions)

    union all
    -- the job has the rights of the platform's owner and never more, whichever role deploys
    select format('alter %s owner to %s', o.name, v_owner)
    from (
      select 'schema class_activation' as name, n.nspowner as owner from pg_namespace n where n.nspname = 'class_activation'
      union all
      select format('table %s', c.oid::regclass), c.relowner from pg_class c where c.oid::regclass::text = any (v_tables)
      union all
      select format('function %s', p.oid::regprocedure), p.proowner
      from pg_proc p
      where p.oid::regprocedure::text = any (v_functions)
    ) o
    where o.owner <> v_owner
  ) loop
    perform set_config('search_path', current_setting('class_activation.search_path'), true);
    execute v_statement;
    set local search_path = pg_catalog, pg_temp;
  end loop;

  foreach v_statement in array array(
    -- default privileges may have opened what was created just now; what a DBA granted on the rest stays
    select distinct format('revoke all on %s from %s', o.name, case when a.grantee = 0 then 'public' else a.grantee::regrole::text end)
    from (
      select n.oid, 'schema class_activation' as name, n.nspacl as acl, n.nspowner as owner
      from pg_namespace n
      where n.nspname = 'class_activation'
      union all
      select c.oid, format('%s %s', case c.relkind when 'S' then 'sequence' else 'table' end, c.oid::regclass), c.relacl, c.relowner
      from pg_class c
      where c.oid::regclass::text = any (v_tables || 'class_activation.runs_id_seq'::text)
      union all
      select p.oid, format('function %s', p.oid::regprocedure), coalesce(p.proacl, acldefault('f', p.proowner)), p.proowner
      from pg_proc p
      where p.oid::regprocedure::text = any (v_functions)
    ) o
    cross join lateral aclexplode(o.acl) a
    where a.grantee <> o.owner
      and (
        a.grantee = 0 and o.name ~ '^function'
        or o.oid not in (select b.oid from pg_temp.objects_before b) and not (a.grantee = 0 and o.name ~ '^schema')
      )
  ) loop
    perform set_config('search_path', current_setting('class_activation.search_path'), true);
    execute v_statement;
    set local search_path = pg_catalog, pg_temp;
  end loop;

  foreach v_statement in array array(
    -- a dump may have been restored without it
    select 'grant usage on schema class_activation to public'
    where not has_schema_privilege('public', 'class_activation', 'usage')
    union all
    -- a function that a revision had to drop
    select format('grant execute on function %s to %s', p.oid::regprocedure, a.grantee::regrole)
      || case when a.is_grantable then ' with grant option' else '' end
    from class_activation.installed_objects i
    join pg_proc p on i.name = format('function %s', p.oid::regprocedure)
    cross join lateral aclexplode(i.acl) a
    join pg_roles r on r.oid = a.grantee
    where p.oid not in (select b.oid from pg_temp.objects_before b)
      and a.grantee <> p.proowner
  ) loop
    perform set_config('search_path', current_setting('class_activation.search_path'), true);
    execute v_statement;
    set local search_path = pg_catalog, pg_temp;
  end loop;

  -- after a restore of the rows alone
  perform setval('class_activation.runs_id_seq', r.newest)
  from (select max(s.id) from class_activation.runs s) r (newest)
  where r.newest >= (select q.last_value + q.is_called::integer from class_activation.runs_id_seq q);

  insert into class_activation.settings default values on conflict do nothing;

  delete from class_activation.installed_objects i
  where not exists (select from class_activation.objects() o where o.name = i.name);
  insert into class_activation.installed_objects as i (name, definition)
  select o.name, o.definition
  from class_activation.objects() o
  where o.name ~ '^(comments|index) '
    or o.name in (
      select format('function %s', f) from unnest(v_functions) f
      union all
      select format('table %s', t) from unnest(v_tables) t
    )
  on conflict (name) do update
  set definition = excluded.definition,
    acl = null
  where (i.definition, i.acl) is distinct from (excluded.definition, null);
end;
$do$;
