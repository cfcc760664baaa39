-- Every call that reads the platform begins here. It waits only for the table of classes, before it holds any lock, and
-- takes the others without waiting. So it never deadlocks with a migration of the platform, and the shape cannot change
-- before the transaction ends.
create or replace function class_activation_internal.lock_platform()
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $function$
declare
  v_deadline constant timestamptz := clock_timestamp() + interval '2 seconds';
  v_template constant text := '{classes};{facilities}, {users}, {history}, {enrollments}';
  v_tables text;
begin
  loop
    begin
      v_tables := class_activation_internal.platform_sql(v_template);
      execute format('lock table %s in access share mode', split_part(v_tables, ';', 1));
      execute format('lock table %s in access share mode nowait', split_part(v_tables, ';', 2));
      -- the migration that held the lock may have renamed or replaced a table
      exit when class_activation_internal.platform_sql(v_template) = v_tables;
      raise lock_not_available;
    exception
      when lock_not_available or undefined_table then
        if clock_timestamp() > v_deadline then
          raise exception using errcode = '55P03',
            message = 'a table of the platform is locked by another session',
            detail = coalesce((
              select string_agg(distinct format('Process %s %s it.', l.pid, case when l.granted then 'holds' else 'awaits' end), ' ')
              from pg_stat_get_activity(pg_backend_pid()) m
              join pg_lock_status() l on l.database = m.datid and l.mode = 'AccessExclusiveLock'
              join pg_class c on c.oid = l.relation and c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
            ), 'It was released just now.'),
            hint = 'Nothing was changed. A migration of the platform may be running: repeat the call when it has ended.';
        end if;
    end;
    perform pg_sleep(0.02);
  end loop;
  -- hidden rows are an error of the run, not of one class
  if row_security_active('public.program_class_enrollments') then
    raise insufficient_privilege using
      message = 'query would be affected by row-level security policy for table "program_class_enrollments"',
      hint = 'Nothing was changed. Let its owner run: alter table public.program_class_enrollments no force row level'
        || ' security; or let a superuser give the owner of class activation bypassrls.';
  end if;
end;
$function$;
comment on function class_activation_internal.lock_platform() is
'Keeps the shape of the platform until the transaction ends.
Errors: 55P03 a table stays locked for 2 s; 55000 unsupported platform schema; 42501 row security hides enrollments.';
