-- Before anything in it is believed: a schema class_activation that somebody else has made is refused.
-- Alembic would take the revision from it, run what he planted there, and remove it if it is empty.

do $do$
declare
  v_owner constant oid := (select c.relowner from pg_class c where c.oid = to_regclass('public.program_classes'));
  v_stranger constant name := (
    select r.rolname
    from pg_namespace n
    join pg_roles r on r.oid = n.nspowner
    where n.nspname = 'class_activation'
      and (
        to_regclass('class_activation.alembic_version') is null
        or not (r.rolsuper or r.oid is not distinct from v_owner)
      )
  );
begin
  if v_stranger is not null then
    raise exception using
      errcode = '42501',
      message = format('schema class_activation in database %I is not ours but of role %I', current_database(), v_stranger),
      hint = 'Nothing was changed. If it is ours after all, give it to the owner of public.program_classes'
        || ' (alter schema class_activation owner to NAME); if not, rename it.';
  end if;
end;
$do$;
