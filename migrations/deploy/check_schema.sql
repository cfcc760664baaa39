-- Before anything in it is read: a schema that another role has made is refused, and so is a revision that this
-- release does not know. What the rest of the deployment needs to know goes into settings that end with the
-- transaction.
do $do$
declare
  v_downgrade constant boolean := {downgrade};
  v_database constant text := quote_ident(current_database());
  -- only a superuser may write to a catalog; pg_roles may be closed
  v_superuser constant boolean := has_table_privilege('pg_catalog.pg_authid', 'insert');
  v_tables_owner oid;
  v_owner oid;
  v_revision text;
  v_schema record;
begin
  -- the table with the status is the one to which enrollments refer: see prerequisites()
  select case
      when count(*) filter (where c.referenced) = 1 then max(c.relowner) filter (where c.referenced)
      when count(*) = 1 then max(c.relowner)
    end
  into v_tables_owner
  from (
    select t.relowner, exists (
        select
        from pg_constraint k
        where k.contype = 'f'
          and k.confrelid = t.oid
          and k.conrelid = to_regclass('public.program_class_enrollments')
      ) as referenced
    from pg_class t
    join pg_attribute a on a.attrelid = t.oid and a.attname = 'status' and not a.attisdropped
    where t.oid in (to_regclass('public.program_classes'), to_regclass('public.program_class_cohorts'))
      and t.relkind in ('r', 'p')
  ) c;

  for v_schema in
    select n.oid, n.nspname, n.nspowner, n.nspowner = v_tables_owner or pg_get_userbyid(n.nspowner) = current_user
        or has_table_privilege(n.nspowner, 'pg_catalog.pg_authid', 'insert') as trusted
    from pg_namespace n
    where n.nspname = any (array[{schemas}])
    order by n.nspname
  loop
    v_owner := coalesce(v_owner, v_schema.nspowner);
    if v_schema.nspowner = v_owner and (
      v_schema.trusted
      -- removing tables and functions runs no code of another role, unless a view or a trigger is there
      or v_downgrade and v_superuser and not exists (
        select
        from pg_class c
        where c.relnamespace = v_schema.oid
          and (c.relkind not in ('r', 'i', 'S', 't') or c.relhastriggers or c.relhasrules)
      )
    ) then
      continue;
    end if;
    raise exception using
      errcode = '42501',
      message = format('schema %I in database %s belongs to role %s, which does not own the platform''s table of classes',
        v_schema.nspname, v_database, v_schema.nspowner::regrole),
      hint = 'Nothing was changed. If class activation did not make it, rename it. If it did and the tables have another owner'
        || format(' now, let a superuser run: alter schema %I owner to ROLE; with the role that', v_schema.nspname)
        || ' owns the platform''s tables, then repeat as a superuser.';
  end loop;

  if to_regnamespace('class_activation') is not null then
    if exists (
      select
      from pg_class c
      where c.oid = to_regclass('class_activation.alembic_version')
        and c.relkind = 'r'
    ) then
      execute 'select min(v.version_num) from class_activation.alembic_version v' into v_revision;
    end if;
    if v_revision is null then
      raise exception using
        errcode = '55000',
        message = format('schema class_activation in database %s, of role %s, does not say in its table alembic_version',
          v_database, v_owner::regrole) || ' which revision is installed',
        hint = 'Nothing was changed. If another application made the schema, rename it. If it is the one of class'
          || ' activation, restore the row:'
          || ' create table if not exists class_activation.alembic_version (version_num varchar(32) primary key);'
          || ' insert into class_activation.alembic_version values (''1.0.0''); -- the revision that was installed';
    elsif v_revision <> all (array[{revisions}]) then
      raise exception using
        errcode = '55000',
        message = format('class activation %s is installed in database %s, which this version does not know',
          v_revision, v_database),
        hint = 'Nothing was changed. ' || case
          when v_revision in ('0001', '0002', '0003', '0004', '0.2.0') then
            'That version was never released: see "From 0.2.0" in CHANGELOG.md, which also carries over its history.'
          else 'Use the version that installed it, or a newer one.'
        end;
    elsif to_regclass('class_activation.runs') is null and not v_downgrade then
      raise exception using
        errcode = '55000',
        message = format('database %s has a revision of class activation, but not its tables', v_database),
        hint = 'Nothing was changed. Restore the tables from a backup; or remove the rest with alembic downgrade base, then'
          || ' repeat.';
    end if;
  end if;

  perform set_config('class_activation.owner', coalesce(v_owner, v_tables_owner, 0)::text, true),
    set_config('class_activation.revision', coalesce(v_revision, ''), true),
    set_config('class_activation.report', 'nothing to do', true);
end;
$do$;
