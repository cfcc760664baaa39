-- The author of every write. The platform knows its batch user by name only, and the name is not unique.
create or replace function class_activation.batch_user()
returns integer
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
  v_id constant integer := (
    select min(u.id)
    from public.users u
    where u.username = 'system_batch'
      and u.deleted_at is null
  );
begin
  if v_id is null then
    raise exception using
      errcode = 'P0002',
      message = 'user "system_batch", the author of all batch writes, does not exist or is deleted',
      hint = 'Create it: insert into public.users'
        || ' (username, name_first, name_last, email, role, created_at, updated_at) values'
        || ' (''system_batch'', ''System'', ''Batch'', ''system_batch@localhost'', ''system_admin'', now(), now());';
  end if;
  return v_id;
end;
$function$;

revoke execute on function class_activation.batch_user() from public;

comment on function class_activation.batch_user() is
'The id of the live user system_batch. Errors: P0002 there is none; the hint creates it.';
