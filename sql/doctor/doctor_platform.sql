create or replace function class_activation.doctor_platform()
returns table (check_name text, level text, failure text, success text, fix text)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '10ms'
set jit = off
as $function$
declare
  v_session_timezone constant text := current_setting('TimeZone');
  v_settings class_activation.settings;
  v_job record;
  v_health record;
  v_last_run class_activation.runs;
  v_last_tick timestamptz;
  v_expected timestamptz;
  v_locks text;
  v_missing text;
  v_not_created text;
  v_create text;
  v_zone record;
  v_canonical text;
  v_places text[] := array[]::text[];
  v_class text;
  v_xid xid;
  v_xids xid[];
  v_holders text[];
  v_ends text[];
begin
  select s.* into v_settings from class_activation.settings s;
  return query
  select 'settings', 'error', case when v_settings is null then 'class_activation.settings has no row, so the job has no hour' end,
    'the hour and the schedule are set', 'insert into class_activation.settings default values;';
  if v_settings is null then
    return;
  end if;

  -- a migration that holds or awaits a table is not waited for
  select string_agg(distinct format('process %s of role %s on public.%s', l.pid, pg_get_userbyid(s.usesysid), c.relname), ', ')
  into v_locks
  from pg_lock_status() l
  join pg_class c on c.oid = l.relation
  cross join lateral pg_stat_get_activity(l.pid) s
  where l.mode = 'AccessExclusiveLock'
    and l.pid <> pg_backend_pid()
    and l.database = (select m.datid from pg_stat_get_activity(pg_backend_pid()) m)
    and c.relnamespace = 'public'::regnamespace
    and c.relname in (
      'facilities', 'program_class_cohorts', 'program_class_enrollments', 'program_classes', 'program_classes_history', 'users'
    );
  if v_locks is null then
    begin
      perform class_activation_internal.lock_platform();
    exception
      when lock_not_available then
        v_locks := sqlerrm;
      when object_not_in_prerequisite_state or undefined_table or undefined_column or insufficient_privilege then
        v_not_created := sqlerrm;
    end;
  end if;
  if v_locks is not null then
    return query
    select 'platform', 'warning', 'locked, as by a migration: ' || v_locks, null, 'ask again when it has ended';
    return;
  end if;
  v_missing := coalesce('missing: ' || (select string_agg(m, ', ') from class_activation.prerequisites() m), v_not_created);
  return query
  select 'platform', 'error', v_missing, 'all tables, columns, labels and rights are there',
    case
      when v_missing ~ '(: |, )(table|column|label) ' then
        'install a version of class activation that supports this schema of the platform'
      else 'let the owners of the tables grant the rights, or drop the policies'
    end;

  if v_missing is null then
    begin
      perform class_activation.batch_user();
    exception when no_data_found then
      get stacked diagnostics v_not_created = message_text, v_create = pg_exception_hint;
    end;
    return query execute class_activation_internal.platform_sql($sql$
      select 'batch_user', 'error',
        coalesce($1, case when count(*) > 1 then
          format('%s live users are named system_batch, and only user %s is used', count(*), min(u.id)) end),
        'there is one live user system_batch',
        coalesce($2, format('update public.users set deleted_at = now() where username = ''system_batch'' and id <> %s'
          || ' and deleted_at is null;', min(u.id)))
      from {users} u
      where u.username = 'system_batch'
        and u.deleted_at is null
    $sql$)
    using v_not_created, regexp_replace(v_create, '^[A-Z][a-z]+ it: ', '');

    -- of a name of the IANA database PostgreSQL keeps the spelling; reading pg_timezone_names takes 50 ms
    for v_zone in
      select z.timezone as name
      from class_activation_internal.facility_timezones() z
      where z.problem is null
        and z.facilities is not null
        and (z.timezone ~* '^(utc|uct|gmt|zulu)$' or not exists (
          select from pg_timezone_abbrevs a where lower(a.abbrev) = lower(z.timezone)
        ))
    loop
      v_canonical := set_config('TimeZone', v_zone.name, true);
      v_canonical := current_setting('TimeZone');
      if v_canonical = v_zone.name
        and v_canonical not in ('localtime', 'Factory', 'posixrules')
        and (v_canonical ~ '/' or v_canonical !~ '[0-9<]' or v_canonical ~ '^[A-Z]{3}[0-9][A-Z]{3}$')
      then
        v_places := v_places || v_canonical;
      end if;
    end loop;
    perform set_config('TimeZone', v_session_timezone, true);

    return query
    with legacy (zone, name) as (
      -- names that Debian 13 and recent container images have moved to the package tzdata-legacy
      values
        ('us/eastern', 'America/New_York'),
        ('us/central', 'America/Chicago'),
        ('us/mountain', 'America/Denver'),
        ('us/arizona', 'America/Phoenix'),
        ('us/pacific', 'America/Los_Angeles'),
        ('us/alaska', 'America/Anchorage'),
        ('us/hawaii', 'Pacific/Honolulu'),
        ('us/michigan', 'America/Detroit'),
        ('us/east-indiana', 'America/Indiana/Indianapolis')
    ), zone as materialized (
      select z.timezone as name, z.facilities, l.name as iana_name,
        case when z.problem is null then 'timezone_names' else 'timezones' end as check_name
      from class_activation_internal.facility_timezones() z
      left join legacy l on l.zone = lower(z.timezone)
      where z.facilities is not null
        and (z.problem is not null or z.timezone <> all (v_places))
    )
    select k.check_name, k.level,
      k.failure || string_agg(format('%s at facility %s', coalesce(quote_literal(z.name), 'null'), z.facilities), '; '
        order by z.name) filter (where z.check_name is not null),
      k.success,
      concat_ws(' ',
        string_agg(format('update public.facilities set timezone = %L where timezone = %L;', z.iana_name, z.name), ' ')
          filter (where z.iana_name is not null),
        case when bool_or(z.iana_name is null) then
          '-- set facilities.timezone to the name in pg_timezone_names of the place where the facility is' end)
    from (values
      ('timezones', 'error', 'unknown to PostgreSQL, so classes there are not activated: ', 'every facility has a valid time zone'),
      ('timezone_names', 'warning', 'an abbreviation without summer time, or not an IANA location: ',
        'every valid time zone is an IANA name')
    ) k (check_name, level, failure, success)
    left join zone z on z.check_name = k.check_name
    group by k.check_name, k.level, k.failure, k.success
    order by k.level;
  end if;

  v_job := class_activation_internal.job();
  v_last_tick := (select max(t.ticked_at) from class_activation.ticks t);
  v_expected := now() - v_job.longest_gap - interval '1 minute';
  return query
  select 'ticks',
    case when v_last_tick is null and v_job.created_by is not null and v_settings.scheduled_at > v_expected
      then 'warning' else 'error' end,
    case
      when greatest(v_last_tick, v_settings.scheduled_at) > v_expected and v_last_tick is not null then null
      when v_job.created_by is null and v_last_tick > v_expected then null
      when v_job.created_by is null then 'no pg_cron job is scheduled for this database'
      when v_last_tick is null then 'pg_cron has not called the job yet'
      else format('pg_cron has not called the job since %s, although the schedule is %s', v_last_tick, v_settings.schedule)
    end,
    format('pg_cron last called the job at %s', v_last_tick),
    case when v_job.elsewhere then
      format(e'-- in database %s, as %s; what is there:\n%s\n-- and to repair it:\n%s %s', v_job.cron_database,
        'a superuser' || case when v_job.role_is_gone then '' else format(' or, if there is none, as role %s', v_job.username) end,
        v_job.show, v_job.clear, v_job.put)
    else 'select class_activation.schedule();' end;

  return query
  select 'pause', 'warning',
    case
      when v_settings.paused_until = 'infinity' then 'the job is paused'
      when v_settings.paused_until > now() then format('the job is paused until %s', v_settings.paused_until)
    end,
    'the job is not paused', 'select class_activation.resume();';

  return query
  select 'clock', 'error',
    case when v_last_tick > statement_timestamp() then format('the clock is behind the last tick, which was at %s', v_last_tick) end,
    'the clock is not behind the last tick',
    'correct the server''s clock; pg_cron starts no job until it catches up';

  if v_missing is not null then
    return;
  end if;
  select h.* into v_health from class_activation.health() h;
  select r.* into v_last_run from class_activation.runs r where r.reverts is null order by r.id desc limit 1;

  return query
  select 'overdue_classes', 'error',
    case when v_health.overdue_classes > 0 then
      format(case v_health.overdue_classes when 1 then '%s class has been due for more than an hour, since %s'
          else '%s classes have been due for more than an hour, the oldest since %s' end,
        v_health.overdue_classes, now() - make_interval(secs => v_health.oldest_overdue_seconds)) end,
    'no class has been due for more than an hour', 'select activate_scheduled_classes();';

  -- xmax of a row is the transaction that has locked it, and each transaction holds a lock on its own id
  for v_class, v_xid in
    execute class_activation_internal.platform_sql($sql$
      select format('class %s%s at %s', c.id, ' (' || {class_name} || ')', f.name), x.xid
      from {classes} c
      join {facilities} f on f.id = c.facility_id
      cross join lateral (
        select c.xmax as xid
        union
        select e.xmax
        from {enrollments} e
        where e.{class_column} = c.id
          and e.enrollment_status = 'Enrolled'
          and num_nulls(e.enrolled_at, e.deleted_at) = 2
      ) x
      where c.id = any ($1)
        and x.xid <> '0'
    $sql$)
    using array(
      select p.class_id
      from class_activation.preview() p
      where v_last_run.classes_skipped > 0
        and p.due
        and p.problem is null
        and p.due_at < v_last_run.started_at
      limit 20
    )
  loop
    v_xids := array[v_xid];
    if not exists (select from pg_lock_status() l where l.transactionid = v_xid) then
      begin
        -- of a row that several have locked it is a multixact
        v_xids := array(select m.xid from pg_get_multixact_members(v_xid) m);
      exception when others then
        -- the transaction has ended
        continue;
      end;
    end if;
    select v_holders || array_agg(format('%s by ', v_class)
        || coalesce(format('process %s of role %s', l.pid, a.rolname), format('the prepared transaction %L', p.gid))),
      v_ends || array_agg(coalesce(format('select pg_terminate_backend(%s);', l.pid), format('rollback prepared %L;', p.gid)))
    into v_holders, v_ends
    from pg_lock_status() l
    left join lateral (
      select pg_get_userbyid(s.usesysid) as rolname from pg_stat_get_activity(l.pid) s where l.pid is not null
    ) a on true
    left join pg_prepared_xact() p on p.transaction = l.transactionid
    where l.transactionid = any (v_xids)
      and l.mode = 'ExclusiveLock'
      and l.granted
      and coalesce(l.pid::text, p.gid) is not null;
  end loop;
  return query
  select 'locked_classes', 'warning', 'skipped, because a lock is held: ' || nullif(array_to_string(v_holders, '; '), ''),
    'the last run skipped no class that is still locked',
    array_to_string(array(select distinct e from unnest(v_ends) e), ' ')
      || ' -- ends that session: as its role, a member of pg_signal_backend, or a superuser';

  return query
  select 'timeouts', 'warning',
    case when v_last_run.classes_left > 0 then
      format('the last run ended before its statement_timeout and left %s to the next one', case v_last_run.classes_left
        when 1 then '1 class' else v_last_run.classes_left || ' classes' end) end,
    'the last run was not cut short', 'select activate_scheduled_classes(); -- with a longer statement_timeout';

  return query execute class_activation_internal.platform_sql($sql$
    with first as materialized (
      select p.* from class_activation.problems p order by p.class_id limit 3
    )
    select 'problems', 'error',
      case n.problems when 0 then null when 1 then '1 class failed: ' else format('%s classes failed, the first: ', n.problems) end
        || string_agg(format('class %s%s at %s: %s %s', p.class_id, ' (' || c.class_name || ')', f.name, p.sqlstate,
          left(p.message, 500)), '; ' order by p.class_id),
      'no class failed', 'fix the cause in detail; the next run retries'
    from (select count(*) as problems from class_activation.problems) n
    left join first p on true
    left join class_activation_internal.classes(array(select q.class_id from first q)) c on c.class_id = p.class_id
    left join {facilities} f on f.id = p.facility_id
    group by n.problems
  $sql$);
end;
$function$;

comment on function class_activation.doctor_platform() is
'Part of doctor: the platform''s rows, what the job made of them, and whether pg_cron calls it. It writes nothing.';
