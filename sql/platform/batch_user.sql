-- The author of every write. The platform knows its batch user by name only, and the name is not unique.
create or replace function class_activation.batch_user()
returns integer
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $function$
declare
  v_id integer;
  v_deleted integer;
begin
  execute class_activation_internal.platform_sql($sql$
    select min(u.id) filter (where u.deleted_at is null), max(u.id) filter (where u.deleted_at is not null)
    from {users} u
    where u.username = 'system_batch'
  $sql$)
  into v_id, v_deleted;
  if v_id is null then
    raise exception using errcode = 'P0002',
      message = 'user "system_batch", the author of all batch writes, '
        || case when v_deleted is null then 'does not exist' else 'is deleted' end,
      hint = coalesce(
        'Restore it: update public.users set deleted_at = null where id = ' || v_deleted || ';',
        'Create it: insert into public.users (username, name_first, name_last, email, role, created_at, updated_at) values'
          || ' (''system_batch'', ''System'', ''Batch'', ''system_batch@localhost'', ''system_admin'', now(), now());'
      );
  end if;
  return v_id;
end;
$function$;
comment on function class_activation.batch_user() is
'The id of the live user system_batch, the oldest if there are several. Errors: P0002 there is none.';
