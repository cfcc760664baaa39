create or replace function class_activation.doctor_platform()
returns table (check_name text, level text, trouble text, otherwise text, fix text)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
  v_missing constant text := (select string_agg(m, ', ') from class_activation.prerequisites() m);
  v_not_before constant time := (select s.not_before from class_activation.settings s);
  v_run constant text := (
    select j.command || ';' from class_activation.jobs() j where j.jobname = 'activate_scheduled_classes'
  );
  v_last_run constant timestamptz := (
    select max(r.started_at) from class_activation.runs r where r.reverts is null
  );
  v_no_batch_user text;
  v_create_batch_user text;
begin
  return query
  select 'platform', 'error', 'missing: ' || v_missing, 'all tables, columns, labels and rights are there',
    case
      when v_missing ~ '(^|, )(table|column|label) ' then
        'this version knows two shapes of the platform, and this is neither: install a version that knows it'
      else 'let the owners of the tables grant the rights, or drop the policies'
    end;
  if v_missing is not null then
    return;
  end if;

  begin
    perform class_activation.batch_user();
  exception when no_data_found then
    get stacked diagnostics v_no_batch_user = message_text, v_create_batch_user = pg_exception_hint;
  end;
  return query
  select 'batch_user', 'error', v_no_batch_user, 'there is a live user system_batch',
    replace(v_create_batch_user, 'Create it: ', '');

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
    select z.timezone as name, z.facilities, l.name as iana_name, case
        when z.problem is not null then 'timezones'
        when z.timezone in ('localtime', 'Factory', 'posixrules')
          or z.timezone !~* '^(utc|uct|gmt|zulu)$' and exists (
            select from pg_timezone_abbrevs a where lower(a.abbrev) = lower(z.timezone)
          )
          or not exists (select from pg_timezone_names n where n.name = z.timezone) then 'timezone_names'
      end as check_name
    from class_activation.facility_timezones() z
    left join legacy l on l.zone = lower(z.timezone)
    where z.facilities is not null
  )
  select k.check_name, k.level,
    k.trouble || string_agg(format('%s at facility %s', coalesce(quote_literal(z.name), 'null'), z.facilities), '; '
      order by z.name) filter (where z.check_name is not null),
    k.otherwise,
    concat_ws(' ',
      string_agg(format('update public.facilities set timezone = %L where timezone = %L;', z.iana_name, z.name), ' ')
        filter (where z.iana_name is not null),
      case when bool_or(z.iana_name is null) then
        '-- set facilities.timezone to the name in pg_timezone_names of the place where the facility is' end)
  from (values
    ('timezones', 'error', 'unknown to this server, so that no class there is activated: ',
      'this server knows the time zone of every facility'),
    ('timezone_names', 'warning', 'an abbreviation without summer time, or no name of a place in the IANA database: ',
      'every known time zone is a name of the IANA database')
  ) k (check_name, level, trouble, otherwise)
  left join zone z on z.check_name = k.check_name
  group by k.check_name, k.level, k.trouble, k.otherwise
  order by k.level;

  return query
  select 'last_run', 'warning',
    case
      when v_last_run is null then 'the job has never run'
      when v_last_run < now() - interval '45 minutes' then format('the job last ran at %s', v_last_run)
    end,
    'the job ran within 45 minutes', v_run;

  return query
  select 'clock', 'error',
    case when v_last_run > statement_timestamp() then
      format('the clock is behind the last run, which was at %s', v_last_run) end,
    'the clock is not behind the last run',
    'set the clock of the server right: pg_cron starts no job until it has caught up';

  return query
  select 'overdue_classes', 'error',
    case when count(*) > 0 then
      format('%s classes are due for more than an hour, the first since %s', count(*), min(s.due_at)) end,
    'no class is due for more than an hour', v_run
  from class_activation.evaluate_classes(now(), v_not_before) s
  where s.due
    and s.due_at < now() - interval '1 hour';

  return query
  select 'problems', 'error',
    case when count(*) > 0 then
      format('%s, the first: ', count(*)) || string_agg(p.line, '; ' order by p.class_id) filter (where p.position <= 3) end,
    'no class failed', 'mend what the detail names; the next run tries again'
  from (
    select q.class_id, row_number() over (order by q.class_id) as position,
      format('class %s: %s %s', q.class_id, q.sqlstate, left(q.message, 500)) as line
    from class_activation.problems q
  ) p;
end;
$function$;

revoke execute on function class_activation.doctor_platform() from public;

comment on function class_activation.doctor_platform() is
'Part of doctor: the platform''s rows, and what the job made of them. It writes nothing.';
