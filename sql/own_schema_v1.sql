-- Before anything in it is believed: a schema class_activation that somebody else has made is refused.
-- Alembic would take the revision from it, run what he planted there, and remove it if it is empty. And
-- where the revision is lost, Alembic would install once more.

do $do$
declare
  v_maker record;
  v_lost boolean := to_regclass('class_activation.alembic_version') is null;
begin
  select r.rolname as name, r.rolsuper or r.oid is not distinct from (
    select c.relowner from pg_class c where c.oid = to_regclass('public.program_classes')
  ) as believed
  into v_maker
  from pg_namespace n
  join pg_roles r on r.oid = n.nspowner
  where n.nspname = 'class_activation';

  if not found then
    return;
  elsif not v_maker.believed then
    raise exception using
      errcode = '42501',
      message = format('schema class_activation in database %I is not ours but of role %I', current_database(), v_maker.name),
      hint = 'Nothing was changed. If it is ours after all, give it to the owner of public.program_classes'
        || ' (alter schema class_activation owner to NAME); if not, rename it.';
  end if;

  if not v_lost and to_regclass('class_activation.runs') is not null then
    v_lost := not exists (select from class_activation.alembic_version);
  end if;
  if v_lost then
    raise exception using
      errcode = '55000',
      message = format('schema class_activation in database %I, of role %I, does not say', current_database(), v_maker.name)
        || ' in its table alembic_version which revision is installed',
      hint = 'Nothing was changed. If somebody else made the schema, rename it. If it is ours, give back what was lost:'
        || ' create table if not exists class_activation.alembic_version (version_num varchar(32) primary key);'
        || ' insert into class_activation.alembic_version values (''0004''); -- the revision that was installed';
  end if;
end;
$do$;
