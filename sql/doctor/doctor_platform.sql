create or replace function class_activation.doctor_platform()
returns table (check_name text, level text, failure text, success text, fix text)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '10ms'
set jit = off
as $function$
declare
  v_timezone constant text := current_setting('TimeZone');
  v_settings class_activation.settings;
  v_job record;
  v_health record;
  v_last_run class_activation.runs;
  v_last_tick timestamptz;
  v_expected timestamptz;
  v_failure text;
  v_hint text;
begin
  select s.* into v_settings from class_activation.settings s;
  return query values ('settings', 'error',
    case when v_settings is null then 'class_activation.settings has no row, so the job has no hour' end,
    'the hour and the schedule are set', 'insert into class_activation.settings default values;');
  if v_settings is null then return; end if;
  begin
    -- never waits, not even behind a migration that is waiting itself
    execute class_activation_internal.platform_sql(
      'lock table {classes}, {facilities}, {users}, {history}, {enrollments} in access share mode nowait');
  exception
    when lock_not_available then
      return query
      select 'platform', 'warning', 'locked, as by a migration: ' || coalesce(string_agg(
          format('process %s of role %s on %s', l.pid, pg_get_userbyid(s.usesysid), c.oid::regclass), ', '), sqlerrm),
        null, 'ask again when it has ended'
      from pg_stat_get_activity(pg_backend_pid()) m
      join pg_lock_status() l on l.database = m.datid
      join pg_class c on c.oid = l.relation and c.relnamespace = 'public'::regnamespace
      join pg_stat_get_activity(null) s on s.pid = l.pid
      where l.mode = 'AccessExclusiveLock';
      return;
    when object_not_in_prerequisite_state or undefined_table or insufficient_privilege then
      v_failure := sqlerrm;
  end;
  v_failure := coalesce('missing: ' || (select string_agg(m, ', ') from class_activation.prerequisites() m), v_failure);
  return query values ('platform', 'error', v_failure, 'all tables, columns, labels and rights are there',
    case when v_failure ~ '(: |, )(table|column|label) '
      then 'install a version of class activation that supports this schema of the platform'
      else 'let the owners of the tables grant the rights, or drop the policies' end);

  v_job := class_activation_internal.job();
  v_last_tick := (select max(t.ticked_at) from class_activation.ticks t);
  v_expected := now() - v_job.longest_gap - interval '1 minute';
  return query values
    ('ticks', case when v_last_tick is null and v_job.created_by is not null and v_settings.scheduled_at > v_expected
        then 'warning' else 'error' end,
      case
        when v_last_tick is not null and greatest(v_last_tick, v_settings.scheduled_at) > v_expected then null
        when v_job.created_by is null then 'no pg_cron job is scheduled for this database'
        when v_last_tick is null then 'pg_cron has not called the job yet'
        else format('pg_cron has not called the job since %s, although the schedule is %s', v_last_tick, v_settings.schedule)
      end,
      format('pg_cron last called the job at %s', v_last_tick),
      case when v_job.elsewhere then
        format(e'-- in database %s, as a superuser%s; what is there:\n%s\n-- and to repair it:\n%s %s', v_job.cron_database,
          case when not v_job.role_is_gone then format(' or, if there is none, as role %s', v_job.username) end,
          v_job.show, v_job.clear, v_job.put)
      else 'select class_activation.schedule();' end),
    ('pause', 'warning',
      case when v_settings.paused_until > now() then
        'the job is paused' || coalesce(' until ' || nullif(v_settings.paused_until, 'infinity'), '') end,
      'the job is not paused', 'select class_activation.resume();'),
    ('clock', 'error',
      case when v_last_tick > statement_timestamp() then
        format('the clock is behind the last tick, which was at %s', v_last_tick) end,
      'the clock is not behind the last tick', 'correct the server''s clock; pg_cron starts no job until it catches up');
  if v_failure is not null then return; end if;
  begin
    perform class_activation.batch_user();
  exception when no_data_found then
    get stacked diagnostics v_failure = message_text, v_hint = pg_exception_hint;
  end;
  return query execute class_activation_internal.platform_sql($sql$
    select 'batch_user', 'error', coalesce($1, case when count(*) > 1 then
        format('%s live users are named system_batch, and only user %s is used', count(*), min(u.id)) end),
      'there is one live user system_batch',
      coalesce($2, format('update public.users set deleted_at = now() where username = ''system_batch'' and id <> %s'
        || ' and deleted_at is null;', min(u.id)))
    from {users} u where u.username = 'system_batch' and u.deleted_at is null
  $sql$)
  using v_failure, regexp_replace(v_hint, '^[A-Z][a-z]+ it: ', '');

  return query
  with legacy (name, iana_name) as (
    -- names that Debian 13 and recent container images have moved to the package tzdata-legacy
    values ('us/eastern', 'America/New_York'), ('us/central', 'America/Chicago'), ('us/mountain', 'America/Denver'),
      ('us/arizona', 'America/Phoenix'), ('us/pacific', 'America/Los_Angeles'), ('us/alaska', 'America/Anchorage'),
      ('us/hawaii', 'Pacific/Honolulu'), ('us/michigan', 'America/Detroit'),
      ('us/east-indiana', 'America/Indiana/Indianapolis')
  ), zone as materialized (
    select z.timezone as name, z.facilities, l.iana_name,
      case when z.problem is null then 'timezone_names' else 'timezones' end as check_name,
      -- PostgreSQL answers with the spelling of the IANA database; reading pg_timezone_names takes 50 ms
      case when z.problem is null and z.timezone !~* '^right/' and (z.timezone ~* '^(utc|uct|gmt|zulu)$'
          or not exists (select from pg_timezone_abbrevs a where lower(a.abbrev) = lower(z.timezone)))
        then set_config('TimeZone', z.timezone, true) end as spelling
    from class_activation_internal.facility_timezones() z
    left join legacy l on l.name = lower(z.timezone)
    where z.facilities is not null
  )
  select k.check_name, k.level,
    k.failure || string_agg(format('%s at facility %s', coalesce(quote_literal(z.name), 'null'), z.facilities), '; '
      order by z.name) filter (where z.check_name is not null),
    k.success,
    string_agg(distinct case when z.iana_name is not null then
        format('update public.facilities set timezone = %L where timezone = %L;', z.iana_name, z.name)
      else '-- set facilities.timezone to the name in pg_timezone_names of the place where the facility is' end, e'\n')
  from (values
    ('timezones', 'error', 'unknown to PostgreSQL, so classes there are not activated: ',
      'every facility has a valid time zone'),
    ('timezone_names', 'warning', 'no IANA location, so perhaps without summer time: ',
      'every valid time zone is an IANA name')
  ) k (check_name, level, failure, success)
  left join zone z on z.check_name = k.check_name
    and (z.spelling = z.name and z.spelling not in ('localtime', 'Factory', 'posixrules') and (z.spelling ~ '/'
      or z.spelling !~ '[0-9<]' or z.spelling ~ '^[A-Z]{3}[0-9][A-Z]{3}$')) is not true
  group by k.check_name, k.level, k.failure, k.success;
  perform set_config('TimeZone', v_timezone, true);

  select h.* into v_health from class_activation.health() h;
  select r.* into v_last_run from class_activation.runs r where r.reverts is null order by r.id desc limit 1;
  return query values
    ('overdue_classes', 'error',
      case when v_health.overdue_classes > 0 then
        format('%s been due for more than an hour, since %s',
          v_health.overdue_classes || case v_health.overdue_classes when 1 then ' class has' else ' classes have' end,
          now() - make_interval(secs => v_health.oldest_overdue_seconds)) end,
      'no class has been due for more than an hour', 'select activate_scheduled_classes();'),
    ('timeouts', 'warning',
      case when v_last_run.classes_left > 0 then
        format('the last run ended before its statement_timeout and left %s to the next one',
          v_last_run.classes_left || case v_last_run.classes_left when 1 then ' class' else ' classes' end) end,
      'the last run was not cut short', 'select activate_scheduled_classes(); -- with a longer statement_timeout');

  return query execute class_activation_internal.platform_sql($sql$
    with row_lock as materialized (
      select format('class %s%s at %s', c.id, ' (' || {class_name} || ')', f.name) as class, x.xid, x.table_id
      from {classes} c
      join {facilities} f on f.id = c.facility_id
      cross join lateral (
        select c.xmax, c.tableoid
        union all
        select e.xmax, e.tableoid from {enrollments} e where e.{class_column} = c.id and {pending}
      ) x (xid, table_id)
      where c.id = any ($1) and x.xid <> '0'
    ), holder as materialized (
      -- each transaction and each savepoint holds a lock on its own id
      select l.transactionid as xid, format('process %s of role %s', l.pid, pg_get_userbyid(s.usesysid)) as name,
        format('select pg_terminate_backend(%s);', l.pid) as ending
      from pg_lock_status() l
      cross join lateral pg_stat_get_activity(l.pid) s
      where l.mode = 'ExclusiveLock' and l.transactionid is not null and l.pid is not null
      union all
      select p.transaction, format('the prepared transaction %L', p.gid), format('rollback prepared %L;', p.gid)
      from pg_prepared_xact() p
    )
    select 'locked_classes', 'warning',
      'skipped, because a lock is held: ' || string_agg(distinct format('%s by %s', r.class, h.name), '; '),
      'the last run skipped no class that is still locked',
      string_agg(distinct h.ending, ' ')
        || ' -- ends that session: as its role, a member of pg_signal_backend, or a superuser'
    from row_lock r
    -- xmax is the transaction that has locked the row; of a row that several have locked it is a multixact
    join holder h on h.xid = any (case
      when exists (select from holder o where o.xid = r.xid) then array[r.xid]
      when mxid_age(r.xid) between 1 and (select mxid_age(t.relminmxid) from pg_class t where t.oid = r.table_id)
        then array(select m.xid from pg_get_multixact_members(r.xid) m) end)
  $sql$)
  using array(select p.class_id from class_activation.preview() p where v_last_run.classes_skipped > 0
    and p.due and p.problem is null and p.due_at < v_last_run.started_at limit 20);

  return query execute class_activation_internal.platform_sql($sql$
    with first as materialized (select p.* from class_activation.problems p order by p.class_id limit 3)
    select 'problems', 'error',
      case n.problems when 0 then null when 1 then '1 class failed: ' else n.problems || ' classes failed, the first: ' end
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
