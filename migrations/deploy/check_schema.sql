-- Refuses a schema of another role, before anything in it is read, and a revision that this release does not know.
-- The settings at the end are for the rest of the deployment, and end with the transaction.
do $do$
declare
  v_downgrade constant boolean := {downgrade};
  v_tables_owner oid;
  v_owner oid;
  v_trusted boolean := true;
  v_revision text;
  v_schema record;
begin
  if {writes} then
    -- one deployment at a time; after the lock, this one sees what the previous one committed
    begin
      set local lock_timeout = '{lock_wait}';
      perform pg_advisory_xact_lock(hashtext('class_activation'), hashtext('deployment'));
      set local lock_timeout = '4s';
    exception when lock_not_available then
      raise exception 'another deployment of class activation has been running for more than {lock_wait}' using
        errcode = '55P03',
        hint = 'Nothing was changed. Find it: select a.* from pg_locks l join pg_stat_activity a using (pid)'
          || ' where l.locktype = ''advisory''; Let it finish or end it, then repeat.';
    end;
    perform set_config('transaction_timeout', '0', true) where current_setting('transaction_timeout', true) is not null;
  end if;

{tables_owner}
  select t.owner into v_tables_owner from tables_owner t;

  for v_schema in
    select n.nspname, n.nspowner,
      n.nspowner = v_tables_owner
        or pg_get_userbyid(n.nspowner) = current_user
        -- only a superuser may write to a catalog; pg_roles may be closed
        or has_table_privilege(n.nspowner, 'pg_authid', 'insert') as trusted,
      exists (
        select from pg_class c where c.relnamespace = n.oid
          and (c.relkind not in ('r', 'i', 'S', 't') or c.relhastriggers or c.relhasrules)
      ) as has_code
    from pg_namespace n where n.nspname = any (array[{schemas}])
    order by n.nspname
  loop
    v_owner := coalesce(v_owner, v_schema.nspowner);
    v_trusted := v_trusted and coalesce(v_schema.trusted, false);
    -- a superuser may remove tables and functions of any role, which runs no code of that role
    if v_schema.nspowner <> v_owner or not v_trusted and (
      not v_downgrade or v_schema.has_code or not has_table_privilege('pg_authid', 'insert')
    ) then
      raise exception using
        errcode = '42501',
        message = format('schema %I belongs to role %s, which does not own the platform''s table of classes',
          v_schema.nspname, v_schema.nspowner::regrole),
        hint = 'Nothing was changed. If class activation did not make it, rename it. If it did and the tables have another'
          || format(' owner now, let a superuser run: alter schema %I owner to ROLE; with the role', v_schema.nspname)
          || ' that owns the platform''s tables, then repeat as a superuser.';
    end if;
  end loop;

  if v_owner is not null then
    if exists (select from pg_class c where c.oid = to_regclass('class_activation.alembic_version') and c.relkind = 'r') then
      execute 'select min(v.version_num) from class_activation.alembic_version v' into v_revision;
    end if;
    if v_revision is null then
      raise exception using
        errcode = '55000',
        message = format('schema class_activation in database %I, of role %s, has no revision in alembic_version',
          current_database(), v_owner::regrole),
        hint = 'Nothing was changed. If another application made the schema, rename it. Otherwise restore the row:'
          || ' create table if not exists class_activation.alembic_version (version_num varchar(32) primary key);'
          || ' insert into class_activation.alembic_version values (''1.0.0''); -- the revision that was installed';
    elsif v_revision <> all (array[{revisions}]) then
      raise exception using
        errcode = '55000',
        message = format('class activation %s is installed in database %I, and this version does not know it',
          v_revision, current_database()),
        hint = 'Nothing was changed. ' || case when v_revision ~ '^0' then
          'That version was never released: "From 0.2.0" in CHANGELOG.md shows how to replace it and keep its history.'
          else 'Use the version that installed it, or a newer one.' end;
    end if;
  end if;
  perform set_config('class_activation.owner', coalesce(v_owner, v_tables_owner, 0)::text, true),
    set_config('class_activation.trusted', (v_trusted and v_owner is not null)::text, true),
    set_config('class_activation.revision', coalesce(v_revision, ''), true),
    set_config('class_activation.report', 'nothing to do', true);
end;
$do$;
