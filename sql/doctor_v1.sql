-- Why does nothing happen? One row for each check, from the platform down to pg_cron. A part that could
-- not be asked, because something more basic is missing or not for this role, is left out or says so.
create function class_activation.doctor()
returns table (check_name text, level text, detail text, fix text)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
  v_gaps constant text := (select string_agg(g, ', ') from class_activation.platform_gaps() g);
  v_readable constant boolean := v_gaps is null and not exists (
    select
    from unnest(array['public.facilities', 'public.users', 'public.program_classes', 'class_activation.runs']) t (name)
    where not has_table_privilege(t.name, 'select')
  );
  v_elsewhere constant boolean :=
    obj_description('class_activation'::regnamespace, 'pg_namespace') like '%-x cron_url%';
  v_here constant boolean := exists (select from pg_extension e where e.extname = 'pg_cron');
  v_usable constant boolean := class_activation.may_use_pg_cron();
  v_libraries constant text := case
    when pg_has_role('pg_read_all_settings', 'usage') then current_setting('shared_preload_libraries')
  end;
begin
  return query
  with finding (check_name, level, trouble, otherwise, fix) as (
    select 'platform', 'error', 'missing: ' || v_gaps, 'all tables, columns, labels and rights are there',
      'apply the platform''s migrations, or grant what is named'

    union all
    select 'rows', 'warning',
      case
        when v_gaps is not null then 'not looked at'
        when not v_readable then format('role %I may not read the platform''s rows: not looked at', current_user)
      end,
      'this role reads the platform''s rows', 'ask as a superuser or as the owner of public.program_classes'

    union all
    select p.* from class_activation.doctor_platform() p where v_readable

    union all
    select i.* from class_activation.doctor_installation() i

    union all
    select 'pg_cron_preloaded', case when v_libraries is null then 'warning' else 'error' end,
      case
        when v_libraries is null then format('role %I may not see shared_preload_libraries', current_user)
        when v_libraries !~ '\mpg_cron\M' then
          'shared_preload_libraries does not name pg_cron, so no job in the cluster runs'
      end,
      'shared_preload_libraries names pg_cron',
      case
        when v_libraries is null then 'ask as a superuser or as a member of pg_monitor'
        else format('alter system set shared_preload_libraries = %s; -- then restart the server', (
          select string_agg(quote_literal(l), ', ')
          from regexp_split_to_table(concat_ws(',', nullif(v_libraries, ''), 'pg_cron'), '\s*,\s*') l
        ))
      end

    union all
    select 'pg_cron', case when v_here then 'warning' else 'error' end,
      case
        when v_elsewhere then null
        when not v_here then
          format('extension pg_cron is not in database %I, so nothing calls the job', current_database())
        when not v_usable then format('role %I may not use schema cron: not looked at', current_user)
      end,
      case
        when v_elsewhere then 'in another database, where cron.job tells of the job'
        else 'extension pg_cron is here'
      end,
      case
        when v_here then format('grant usage on schema cron to %I;', current_user)
        else 'create extension pg_cron; -- or, if it lives in another database: alembic -x schedule=off downgrade 0003,'
          || ' then alembic -x cron_url=postgresql://... upgrade head'
      end

    union all
    select c.* from class_activation.doctor_pg_cron() c where v_usable
  )
  select f.check_name, case when f.trouble is null then 'ok' else f.level end, coalesce(f.trouble, f.otherwise),
    case when f.trouble is not null then f.fix end
  from finding f;
end;
$function$;

revoke execute on function class_activation.doctor() from public;

comment on function class_activation.doctor() is
'Why does nothing happen? One row for each check: check_name, level (ok, warning, error), detail, and fix,
the SQL to run or the setting to change (null when ok). It writes nothing. What the calling role may not
see is reported as such, so ask as a superuser for the whole picture. To let another role ask:
grant execute on all functions in schema class_activation to NAME;';
