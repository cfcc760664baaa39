-- Before anything in it is trusted: a schema class_activation that another role has made is refused. Alembic would
-- take the revision from it, run what was planted there, and drop it if it is empty. And where the revision is lost,
-- Alembic would install once more.
do $do$
declare
  v_owner constant regrole := (
    select c.relowner::regrole
    from pg_class c
    where c.oid = coalesce(to_regclass('public.program_class_cohorts'), to_regclass('public.program_classes'))
  );
  v_maker record;
  v_lost boolean := to_regclass('class_activation.alembic_version') is null;
begin
  select r.rolname as name, r.rolsuper or r.oid is not distinct from v_owner as trusted
  into v_maker
  from pg_namespace n
  join pg_roles r on r.oid = n.nspowner
  where n.nspname = 'class_activation';

  if not found then
    return;
  elsif not v_maker.trusted then
    raise exception using
      errcode = '42501',
      message = format('schema class_activation in database %I belongs to role %I', current_database(), v_maker.name)
        || ', which does not own the platform''s table',
      hint = 'Nothing was changed. If it is the one of class activation, give it to the owner of that table as a superuser'
        || format(' (alter schema class_activation owner to %s;) and repeat as a superuser;', coalesce(v_owner::text, 'NAME'))
        || ' if not, rename it.';
  end if;

  if not v_lost and to_regclass('class_activation.runs') is not null then
    v_lost := not exists (select from class_activation.alembic_version);
  end if;
  if v_lost then
    raise exception using
      errcode = '55000',
      message = format('schema class_activation in database %I, of role %I, does not say', current_database(), v_maker.name)
        || ' in its table alembic_version which revision is installed',
      hint = 'Nothing was changed. If another application made the schema, rename it. If it is the one of class'
        || ' activation, give back what was lost:'
        || ' create table if not exists class_activation.alembic_version (version_num varchar(32) primary key);'
        || ' insert into class_activation.alembic_version values (''0.2.0''); -- the revision that was installed';
  end if;
end;
$do$;
