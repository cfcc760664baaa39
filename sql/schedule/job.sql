-- pg_cron shows a role only its own jobs, so settings remember as which role the job was created: one that is not visible
-- may still be there. The extension is looked for, because another role may have made a schema of the name cron.
create or replace function class_activation_internal.job(
  p_schedule text default null, out version text, out visible boolean, out elsewhere boolean, out cron_database name,
  out jobname text, out created_by name, out role_is_gone boolean, out username name, out active boolean,
  out longest_gap interval, out next_tick_at timestamptz, out show text, out clear text, out put text, out remove text
)
language plpgsql stable
set search_path = pg_catalog, pg_temp
set row_security = on
set lock_timeout = '50ms'
set jit = off
as $function$
declare
  v_database constant name := current_database();
  v_superuser constant boolean := current_setting('is_superuser')::boolean;
  v_command constant text := 'select class_activation.tick()';
  v_settings class_activation.settings;
  v_names text;
  v_fields text[];
begin
  select s.* into v_settings from class_activation.settings s;
  p_schedule := coalesce(p_schedule, v_settings.schedule);
  begin
    -- a renamed database keeps its job; a copy has none while the original exists
    if v_settings.job_database <> v_database and has_database_privilege(v_settings.job_database, 'connect') is not null then
      v_settings.job_username := null;
      v_settings.job_database := null;
    end if;
  exception when invalid_catalog_name then null;
  end;
  elsewhere := coalesce(v_settings.cron_database <> v_settings.job_database, false);
  cron_database := case when elsewhere then v_settings.cron_database else v_database end;
  created_by := v_settings.job_username;
  role_is_gone := created_by is not null and to_regrole(quote_ident(created_by)) is null;

  select e.extversion, case when has_schema_privilege(n.oid, 'usage') then
      not row_security_active('cron.job') or coalesce(created_by = current_user, true) end
  into version, visible
  from pg_extension e join pg_namespace n on n.nspname = 'cron' where e.extname = 'pg_cron';

  username := current_user;
  if created_by is not null and not role_is_gone
    and has_function_privilege(created_by, to_regprocedure('class_activation.tick()'), 'execute') then
    username := created_by;
  elsif v_superuser then
    username := coalesce((select r.rolname from pg_namespace n join pg_roles r on r.oid = n.nspowner
      where n.nspname = 'class_activation' and r.rolcanlogin), username);
  end if;
  jobname := 'activate_scheduled_classes' || case when elsewhere or version is null then '@' || v_database else '' end;
  v_names := concat_ws(', ', quote_literal(jobname), case when elsewhere and v_settings.job_database <> v_database then
    quote_literal('activate_scheduled_classes@' || v_settings.job_database) end);
  show := format(regexp_replace($show$select n.jobname, j.jobid, j.schedule, j.command, j.active, j.database, j.username,
    exists (select from pg_database d where d.datname = j.database) as database_exists,
    pg_catalog.to_regrole(pg_catalog.quote_ident(j.username)) is not null as role_exists,
    exists (select from pg_stat_activity a where a.application_name = 'pg_cron scheduler') as launcher_runs, r.status,
    r.return_message, r.start_time from pg_catalog.unnest(array[%s]) n (jobname) left join cron.job j using (jobname)
    left join lateral (select o.* from cron.job_run_details o where o.jobid = j.jobid order by o.runid desc limit 1) r
    on true;$show$, '[[:space:]]+', ' ', 'g'), v_names);
  remove := format('select cron.unschedule(j.jobid) from cron.job j where j.jobname in (%s);', v_names);
  clear := rtrim(remove, ';') || format(' and (not j.active or (j.jobname, j.database, j.username) is distinct from'
    || ' (%L::name, %L, %L));', jobname, v_database, username);
  put := case when elsewhere or version is null or v_superuser then
    -- pg_cron lets only a superuser name a role, even its own: for the job of another role it refuses anyone else
    format('select cron.schedule_in_database(%L, %L, %L, %L, %s, true);', jobname, p_schedule, v_command, v_database,
      format(case when role_is_gone then '%L' else 'nullif(%L, current_user)' end, username))
    else format('select cron.schedule(%L, %L, %L);', jobname, p_schedule, v_command) end;

  v_fields := regexp_split_to_array(btrim(p_schedule), '[[:space:]]+');
  if v_fields[2:] = '{*,*,*,*}' then
    -- the ticks of this hour and the next
    select max(t.at - t.previous), min(t.at) filter (where t.at > now()) into longest_gap, next_tick_at
    from (
      select a.at, lag(a.at) over (order by a.at) as previous
      from regexp_split_to_table(replace(v_fields[1], '*', '0-59'), ',') p (part)
      cross join regexp_match(p.part, '^([0-9]+)(?:-([0-9]+))?(?:/([0-9]+))?$') r (range)
      cross join generate_series(r.range[1]::integer, coalesce(r.range[2], r.range[1])::integer,
        coalesce(r.range[3], '1')::integer) m (minute)
      cross join generate_series(0, 60, 60) h (minutes)
      cross join lateral (select date_trunc('hour', now(), 'UTC') + make_interval(mins => h.minutes + m.minute)) a (at)
    ) t;
  else
    -- not exact, but never too short; an hour may be missing where cron.timezone has summer time
    longest_gap := case
      when p_schedule ~ '^ *[0-9]+ seconds? *$' then p_schedule::interval
      when v_fields[3:] = '{*,*,*}' then interval '25 hours'
      when v_fields[3:4] = '{*,*}' then interval '8 days'
      else interval '366 days'
    end;
  end if;
  if visible and not elsewhere then
    active := exists (
      select from cron.job j where j.jobname = 'activate_scheduled_classes' and j.active and j.database = v_database);
  end if;
exception when lock_not_available or insufficient_privilege then
  visible := null;  -- pg_cron is being installed or removed, or its table is closed
end;
$function$;
comment on function class_activation_internal.job(text) is
'The job in pg_cron, as class_activation.settings describe it, with p_schedule if given:
  version, visible            of pg_cron here (null: none), and whether the caller would see the job (null: no usage)
  elsewhere, cron_database    whether the job is in another database, and in which
  created_by, role_is_gone    the role as which the job was created (null: there is none)
  jobname, username, active   the job and its role as they should be, and whether it is active here (null: cannot be told)
  longest_gap, next_tick_at   between two ticks of the schedule, and the next one (null: not computed)
  show, clear, put, remove    statements for pg_cron''s database: look, remove all but the right job, create or change it,
                              remove it';
