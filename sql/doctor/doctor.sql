-- A part that the caller may not execute becomes one row. A missing function means an incomplete deployment.
create or replace function class_activation.doctor()
returns table (check_name text, level text, detail text, fix text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $function$
declare
  v_part text;
begin
  return query values ('version', 'ok', class_activation.version(), null);
  foreach v_part in array array['doctor_installation', 'doctor_platform', 'doctor_pg_cron'] loop
    begin
      return query execute format('select f.check_name, case when f.failure is null then ''ok'' else f.level end,'
        || ' coalesce(f.failure, f.success), case when f.failure is not null then f.fix end'
        || ' from class_activation.%I() f', v_part);
    exception
      when insufficient_privilege then
        return query values (v_part, 'warning', format('not visible to role %I: %s', current_user, sqlerrm),
          format('grant execute on function class_activation.%I to %I; -- or ask as the owner', v_part, current_user));
      when undefined_function or undefined_table or undefined_column then
        return query values (v_part, 'error', sqlerrm, 'alembic upgrade head');
      when lock_not_available then
        return query values (v_part, 'warning', 'a table is locked, as by a deployment: ' || sqlerrm,
          'ask again when it has ended');
    end;
  end loop;
end;
$function$;
comment on function class_activation.doctor() is
'What is wrong? One row for each check, the version first: check_name, level (ok, warning, error), detail,
and fix, the SQL to run or the thing to change (null when ok). It writes nothing and waits for no lock of a migration.
What the calling role may not see is reported as such, so ask as a superuser for the whole picture. A monitoring role
needs EXECUTE also on version, health, preview, doctor_installation, doctor_platform and doctor_pg_cron.';
