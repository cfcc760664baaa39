-- Before anything is created, raises one error that lists everything missing. Then it records the existing objects, so
-- that the deployment can report its changes, and revokes rights only on objects that it creates.
do $do$
declare
  v_owner constant oid := current_setting('class_activation.owner')::oid;
  v_installed constant boolean := current_setting('class_activation.revision') <> '';
  v_superuser constant boolean := has_table_privilege('pg_authid', 'insert');
  -- since 16, a member may lack the right to set the role
  v_member constant text := case when current_setting('server_version_num')::integer < 160000 then 'member' else 'set' end;
  v_door constant regprocedure := to_regprocedure('public.activate_scheduled_classes(timestamptz, time, integer)');
  v_classes constant oid[] := array(
    select c.oid
    from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attname = 'status' and not a.attisdropped
    where c.oid in (to_regclass('public.program_classes'), to_regclass('public.program_class_cohorts'))
      and c.relkind in ('r', 'p') and pg_has_role(c.relowner, v_owner, 'usage')
  );
  v_known text;
  v_schema text;
  v_missing text;
begin
  if v_door is not null and v_installed then
    execute 'select i.definition from class_activation.installed_objects i where i.name = $1' into v_known
    using format('function %s', v_door);
  end if;

  with missing (position, description) as (
    select 1, format('right of role %I to create schemas in database %I', current_user, current_database())
    where exists (select from unnest(array[{schemas}]) s where to_regnamespace(s) is null)
      and not has_database_privilege(current_database(), 'create')
    union all
    -- the owner's too: alter function ... owner to needs it
    select 2, format('right of role %I to create in schema public', r.name)
    from (values (current_user), (case when v_owner <> 0 and not v_superuser then pg_get_userbyid(v_owner) end)) r (name)
    where not has_schema_privilege(r.name, 'public', 'create')
    group by r.name
    union all
    select 3, format('membership of role %I in role %s, which owns the platform''s table of classes', current_user, v_owner::regrole)
      || case when pg_has_role(v_owner, 'member') then ', with inherit and set' else '' end
    where v_owner <> 0 and not (pg_has_role(v_owner, 'usage') and pg_has_role(v_owner, v_member))
    union all
    select 4, format('the name of function %s, which belongs to role %s', p.oid::regprocedure, p.proowner::regrole)
      || case when not v_installed and pg_has_role(p.proowner, v_owner, 'usage') then
        format(' (in a copy of the platform without its schema class_activation: drop function %s;)', p.oid::regprocedure)
        else '' end
    from pg_proc p where p.pronamespace = 'public'::regnamespace and p.proname = 'activate_scheduled_classes'
      -- if it is unchanged since the last deployment, only its owner was changed
      and (not v_installed or p.oid = v_door and not pg_has_role(p.proowner, v_owner, 'usage')
        and md5(concat(pg_get_functiondef(p.oid), obj_description(p.oid, 'pg_proc'))) is distinct from v_known)
    union all
    select 5, format('the name of schema %I, which already exists', s)
    from unnest(array[{schemas}]) s where not v_installed and to_regnamespace(s) is not null
    union all
    -- the index itself may exist, built concurrently by a DBA
    select 6, format('the name of index public.class_activation_due_idx (it is %s)', coalesce(pg_get_indexdef(i.indexrelid), 'no index'))
    from (select to_regclass('public.class_activation_due_idx')) c (oid)
    left join pg_index i on i.indexrelid = c.oid
    where c.oid is not null and cardinality(v_classes) > 0
      and (i.indrelid = any (v_classes) and pg_get_indexdef(i.indexrelid)
        ~ '^CREATE INDEX [^ ]+ ON (ONLY )?[^ ]+ USING btree \(status, start_dt\)$') is not true
    union all
    -- the job would run as a superuser
    select 7, 'cron.enable_superuser_jobs = on, since a superuser owns the platform''s table of classes'
    where {schedules} and v_superuser and v_owner <> 0 and has_table_privilege(v_owner, 'pg_authid', 'insert')
      and current_setting('cron.enable_superuser_jobs', true) = 'off'
    union all
    select 8, p.description
    from (
{prerequisites}
    ) p (description)
    union all
    select 9, e from unnest(array[{elsewhere}]::text[]) e
  )
  select string_agg(m.description, ', ' order by m.position, m.description) into v_missing from missing m;

  if v_missing is not null then
    raise exception using
      errcode = '55000',
      message = format('class activation cannot be installed in database %I without: %s', current_database(), v_missing),
      hint = 'Nothing was changed. Is this the database of the platform (-x url=postgresql://...)? This version supports'
        || ' two shapes of the platform, with and without cohorts, from its migration 62 on. Let the owner of the tables or a'
        || ' superuser grant the listed rights, then repeat.';
  end if;

  perform set_config('class_activation.classes', v_classes[1]::text, true);
  perform set_config('class_activation.before', coalesce(jsonb_object_agg(o.name, jsonb_build_object(
      'oid', o.oid::bigint, 'kind', o.kind, 'owner', o.owner::bigint, 'acl', o.acl::text, 'definition', o.definition
    )), '{}')::text, true)
  from (
{objects}
  ) o (oid, kind, name, owner, acl, definition);

  -- The schemas are open, and each object in them is closed: EXECUTE on a function is all that a role needs.
  foreach v_schema in array array[{schemas}] loop
    if to_regnamespace(v_schema) is null then
      execute format('create schema %I authorization %s', v_schema, v_owner::regrole);
      execute format('comment on schema %I is %L', v_schema, 'Activates UnlockEdv2''s scheduled'
        || ' classes: the tables and functions of public.activate_scheduled_classes.');
    end if;
  end loop;
end;
$do$;
