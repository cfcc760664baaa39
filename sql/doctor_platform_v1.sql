-- The part of doctor that reads the platform's rows and what the job made of them.
create function class_activation.doctor_platform()
returns table (check_name text, level text, trouble text, otherwise text, fix text)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
  v_run constant text := 'select public.activate_scheduled_classes(p_not_before => ''05:00'');';
  v_last_run constant timestamptz := (
    select max(r.started_at) from class_activation.runs r where r.reverts is null
  );
  v_no_batch_user text;
  v_create_batch_user text;
begin
  begin
    perform class_activation.batch_user();
  exception when no_data_found then
    get stacked diagnostics v_no_batch_user = message_text, v_create_batch_user = pg_exception_hint;
  end;
  return query
  select 'batch_user', 'error', v_no_batch_user, 'there is a live user system_batch',
    replace(v_create_batch_user, 'Create it: ', '');

  return query
  with suggestion (zone, name) as (
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
  ), zone as (
    select f.timezone as name, string_agg(f.id::text, ', ' order by f.id) as facilities,
      bool_or(r.problem_sqlstate is not null) as unknown
    from public.facilities f
    cross join lateral class_activation.rule(now()::date, f.timezone, now(), '05:00') r
    where f.deleted_at is null
    group by f.timezone
    having bool_or(r.problem_sqlstate is not null)
      or not exists (select from pg_timezone_names n where n.name = f.timezone)
  ), nearest as (
    select distinct on (z.name) z.name as zone, n.name
    from zone z
    cross join generate_series(strpos(z.name, '/') + 3, length(z.name)) i
    join pg_timezone_names n on lower(left(n.name, i)) = lower(left(z.name, i))
    where strpos(z.name, '/') > 0
    order by z.name, i desc, n.name
  ), finding as (
    select z.unknown,
      string_agg(format('%s at facility %s', coalesce(quote_literal(z.name), 'null'), z.facilities), '; ') as zones,
      string_agg(format('update public.facilities set timezone = %L where timezone is not distinct from %L;',
        coalesce(s.name, n.name, 'America/New_York'), z.name), ' ') as fix
    from zone z
    left join suggestion s on s.zone = lower(z.name)
    left join nearest n on n.zone = z.name
    group by z.unknown
  )
  select k.check_name, k.level, k.trouble || f.zones, k.otherwise, f.fix || ' -- or the zone in which it really is'
  from (values
    ('timezones', 'error', 'unknown to this server, so that no class there is activated: ', true,
      'this server knows the time zone of every facility'),
    ('timezone_names', 'warning', 'no names of the IANA database, which others may read differently: ', false,
      'every known time zone is a name of the IANA database')
  ) k (check_name, level, trouble, unknown, otherwise)
  left join finding f on f.unknown = k.unknown;

  return query
  select 'last_run', 'warning',
    case
      when v_last_run is null then 'the job has never run'
      when v_last_run < now() - interval '45 minutes' then format('the job last ran at %s', v_last_run)
    end,
    'the job ran within 45 minutes', v_run;

  return query
  select 'clock', 'error',
    case
      when v_last_run > statement_timestamp() then format('the clock is behind the last run, which was at %s', v_last_run)
    end,
    'the clock is not behind the last run',
    'set the clock of the server right: pg_cron starts no job until it has caught up';

  return query
  select 'overdue_classes', 'error',
    case
      when count(*) > 0 then
        format('%s classes are due for more than an hour, the first since %s', count(*), min(s.due_at))
    end,
    'no class is due for more than an hour', v_run
  from class_activation.scheduled_classes(now(), '05:00') s
  where s.due
    and now() - s.due_at > interval '1 hour';

  return query
  select 'problems', 'error',
    string_agg(format('class %s: %s %s', p.class_id, p.sqlstate, p.message), '; ' order by p.class_id),
    'no class failed', 'mend what the detail names; the next run tries again'
  from class_activation.problems p;
end;
$function$;

revoke execute on function class_activation.doctor_platform() from public;

comment on function class_activation.doctor_platform() is
'Part of class_activation.doctor(): the platform''s rows, and what the job made of them.';
