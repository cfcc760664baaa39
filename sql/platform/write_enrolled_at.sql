-- Rows are read again after the write: a trigger, a rule or a policy may have left them unchanged or written something
-- else, without an error or a smaller number of rows. If there is no such code on enrollments, and no other session has
-- locked any, the rows that the update returns are the stored ones, and one pass is enough.
create or replace function class_activation_internal.write_enrolled_at(
  p_class_ids integer[], p_enrolled_at timestamptz, p_user_id integer
)
returns table (
  class_id integer, enrollment_ids integer[], enrolled_at_values timestamptz[], updated_at_values timestamptz[],
  update_user_ids integer[]
)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $function$
declare
  v_enrollments constant regclass := to_regclass('public.program_class_enrollments');
  v_update constant text := 'update {enrollments} set enrolled_at = $3, updated_at = pg_catalog.now(), update_user_id = $2'
    || ' where {class_column} operator(pg_catalog.=) any ($1) and {pending}';
  v_update_and_return text;
  v_locked record;
begin
  if exists (
      select from pg_class c
      where c.oid = v_enrollments and c.relkind = 'r' and not (c.relhasrules or c.relrowsecurity or c.relhassubclass)
    )
    and not exists (select from pg_trigger t where t.tgrelid = v_enrollments and not t.tgisinternal)
    -- a deferred trigger of another table may write to them
    and not exists (select from pg_constraint c where c.condeferrable)
    and not exists (
      select from pg_lock_status() l
      where l.relation = v_enrollments and l.pid is distinct from pg_backend_pid()
        and l.mode in ('RowShareLock', 'RowExclusiveLock')
    )
  then
    -- built before the search path changes
    v_update_and_return := class_activation_internal.platform_sql(
      'with written as (' || v_update || ' returning {class_column} as class_id, id)'
        || ' select w.class_id, pg_catalog.array_agg(w.id), array[$3], array[pg_catalog.now()], array[$2]'
        || ' from written w group by w.class_id'
    );
    perform set_config('search_path', class_activation_internal.application_search_path(), true);
    return query execute v_update_and_return using p_class_ids, p_user_id, p_enrolled_at;
    return;
  end if;

  v_locked := class_activation_internal.lock_enrollments(p_class_ids);
  if v_locked.locked_class_ids <> '{}' then
    raise lock_not_available using message = 'another session has locked an enrollment';
  end if;
  perform class_activation_internal.execute_as_application(
    class_activation_internal.platform_sql(v_update), p_class_ids, p_user_id, p_enrolled_at
  );
  perform class_activation_internal.fire_deferred_triggers();
  if exists (select from class_activation_internal.pending_enrollments(p_class_ids)) then
    raise exception using errcode = '55000',
      message = 'the UPDATE did not set enrolled_at',
      hint = 'Look for a before trigger, a rule or a row security policy on the platform''s enrollments.';
  end if;

  return query execute class_activation_internal.platform_sql($sql$
    select e.{class_column}, array_agg(e.id), array_agg(distinct e.enrolled_at), array_agg(distinct e.updated_at),
      array_agg(distinct e.update_user_id)
    from {enrollments} e
    where e.id = any ($1) and e.{class_column} = any ($2)
      and e.enrollment_status = 'Enrolled' and e.enrolled_at is not null and e.deleted_at is null
    group by e.{class_column}
  $sql$)
  using v_locked.enrollment_ids, p_class_ids;
end;
$function$;
comment on function class_activation_internal.write_enrolled_at(integer[], timestamptz, integer) is
'Sets enrolled_at of pending enrollments, without waiting; returns them and the stored values for each class that has any.
Errors: 55P03 another session has locked one; 55000 an enrollment was not updated.';
