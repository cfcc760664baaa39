-- The job in pg_cron: where it is, what it should be, and the statements that show, repair and remove it. pg_cron shows
-- a role only its own jobs, so settings remember as which role the job was created: one that is not visible may still be
-- there. The extension is looked for, not just a schema of that name, in which another role may have planted something.
create or replace function class_activation_internal.job(
  p_schedule text default null,
  out version text,
  out visible boolean,
  out elsewhere boolean,
  out cron_database name,
  out jobname text,
  out created_by name,
  out role_is_gone boolean,
  out username name,
  out active boolean,
  out longest_gap interval,
  out next_tick_at timestamptz,
  out show text,
  out clear text,
  out put text,
  out remove text
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set row_security = on
set lock_timeout = '50ms'
as $function$
declare
  v_database constant name := current_database();
  v_superuser constant boolean := current_setting('is_superuser')::boolean;
  v_owner constant name := (
    select pg_get_userbyid(n.nspowner) from pg_namespace n where n.nspname = 'class_activation'
  );
  v_settings class_activation.settings;
  v_names text;
  v_fields text[];
  v_minutes integer[];
begin
  select s.* into v_settings from class_activation.settings s;
  p_schedule := coalesce(p_schedule, v_settings.schedule);
  elsewhere := coalesce(v_settings.cron_database <> v_settings.job_database, false);
  if v_settings.job_database <> v_database then
    begin
      -- a copy: the job is that of the original
      perform has_database_privilege(v_settings.job_database, 'connect');
      v_settings.job_username := null;
      v_settings.job_database := null;
      elsewhere := false;
    exception when invalid_catalog_name then
      -- this database was renamed
      null;
    end;
  end if;
  cron_database := case when elsewhere then v_settings.cron_database else v_database end;
  created_by := v_settings.job_username;
  role_is_gone := to_regrole(quote_ident(created_by)) is null and created_by is not null;

  select e.extversion, case when has_schema_privilege(n.oid, 'usage') then true end
  into version, visible
  from pg_extension e
  join pg_namespace n on n.nspname = 'cron'
  where e.extname = 'pg_cron';
  if visible then
    visible := not row_security_active('cron.job') or coalesce(created_by = current_user, true);
  end if;

  if created_by is not null
    and not role_is_gone
    and coalesce(has_function_privilege(created_by, to_regprocedure('class_activation.tick()'), 'execute'), true)
  then
    username := created_by;
  elsif v_superuser and (select r.rolcanlogin from pg_roles r where r.rolname = v_owner) then
    username := v_owner;
  else
    username := current_user;
  end if;

  jobname := 'activate_scheduled_classes' || case when elsewhere or version is null then '@' || v_database else '' end;
  v_names := concat_ws(', ', quote_literal(jobname), case
    when elsewhere and v_settings.job_database <> v_database then
      quote_literal('activate_scheduled_classes@' || v_settings.job_database)
  end);
  show := format('select n.jobname, j.jobid, j.schedule, j.command, j.active, j.database, d.datname is not null as database_exists,')
    || ' j.username, pg_catalog.to_regrole(pg_catalog.quote_ident(j.username)) is not null as role_exists,'
    || ' exists (select from pg_stat_activity a where a.application_name = ''pg_cron scheduler'') as launcher_runs,'
    || ' r.status, r.return_message, r.start_time'
    || format(' from pg_catalog.unnest(array[%s]) n (jobname) left join cron.job j on j.jobname = n.jobname', v_names)
    || ' left join pg_database d on d.datname = j.database left join lateral (select o.* from cron.job_run_details o'
    || ' where o.jobid = j.jobid order by o.runid desc limit 1) r on true;';
  remove := format('select cron.unschedule(j.jobid) from cron.job j where j.jobname in (%s);', v_names);
  clear := format(
    'select cron.unschedule(j.jobid) from cron.job j where j.jobname in (%s) and (not j.active'
      || ' or (j.jobname, j.database, j.username) is distinct from (%L::name, %L, %L));',
    v_names, jobname, v_database, username
  );
  put := case
    when elsewhere or version is null or v_superuser then
      format('select cron.schedule_in_database(%L, %L, %L, %L, %s, true);', jobname, p_schedule,
        'select class_activation.tick()', v_database,
        -- pg_cron lets only a superuser name a role, even its own: for the job of another role it refuses anyone else
        case when role_is_gone then quote_literal(username) else format('nullif(%L, current_user)', username) end)
    else format('select cron.schedule(%L, %L, %L);', jobname, p_schedule, 'select class_activation.tick()')
  end;

  v_fields := regexp_split_to_array(btrim(p_schedule), '\s+');
  if v_fields[2:] = '{*,*,*,*}' then
    v_minutes := array(
      select distinct m
      from regexp_split_to_table(v_fields[1], ',') p (part)
      cross join regexp_match(p.part, '^(\*|\d+)(?:-(\d+))?(?:/(\d+))?$') r (range)
      cross join generate_series(
        case r.range[1] when '*' then 0 else r.range[1]::integer end,
        case r.range[1] when '*' then 59 else coalesce(r.range[2], r.range[1])::integer end,
        coalesce(r.range[3], '1')::integer
      ) m
      order by m
    );
    select make_interval(mins => max(coalesce(g.next, v_minutes[1] + 60) - g.minute)) into longest_gap
    from (select m.minute, lead(m.minute) over (order by m.minute) as next from unnest(v_minutes) m (minute)) g;
    select min(t.at) into next_tick_at
    from unnest(v_minutes) m (minute)
    cross join generate_series(0, 1) h (hours)
    cross join lateral (
      select date_trunc('hour', now(), 'UTC') + make_interval(hours => h.hours, mins => m.minute) as at
    ) t
    where t.at > now();
  else
    -- not exact, but never too short; an hour may be missing where cron.timezone has summer time
    longest_gap := case
      when p_schedule ~ '^\s*\d+ seconds?\s*$' then p_schedule::interval
      when v_fields[3:] = '{*,*,*}' then interval '25 hours'
      when v_fields[3:4] = '{*,*}' then interval '8 days'
      else interval '366 days'
    end;
  end if;

  if visible and not elsewhere then
    select coalesce(bool_or(j.active and j.database = v_database), false) into active
    from cron.job j
    where j.jobname = 'activate_scheduled_classes';
  end if;
exception when lock_not_available or insufficient_privilege then
  -- pg_cron is being installed or removed, or its table is closed
  visible := null;
end;
$function$;

comment on function class_activation_internal.job(text) is
'The job in pg_cron, as class_activation.settings describe it, with p_schedule if given:
  version                       of pg_cron in this database; null: it is not here
  visible                       whether the caller would see the job in cron.job; null: it may not use schema cron
  elsewhere, cron_database      whether the job is in another database, and in which
  created_by, role_is_gone      the role as which the job was created; null: no job was created
  jobname, username             the job and its role as they should be
  active                        whether the job in this database is active; null: cannot be told
  longest_gap, next_tick_at     what the schedule allows between two ticks, and the next one; null: not computed
  show, clear, put, remove      statements for pg_cron''s database: look; remove all but the right job, and create or
                                change it; remove it';
