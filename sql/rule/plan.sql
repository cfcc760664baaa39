-- The rule: a class is due from the instant at which the clock of its facility shows p_not_before on its start
-- date (due_at <= p_as_of). Zones are judged once each, and an unknown one is returned as a problem, not raised:
-- it must not stop the other facilities.
create or replace function class_activation.plan(
  p_as_of timestamptz,
  p_not_before time,
  p_class_ids integer[] default null,
  p_start_until date default null
)
returns table (
  class_id integer,
  facility_id integer,
  facility_name text,
  timezone text,
  start_dt date,
  due_at timestamptz,
  due boolean,
  problem_sqlstate text,
  problem text
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set jit = off
as $function$
declare
  -- no zone is more than 14 hours ahead of UTC, and a POSIX string that says so is not believed
  v_latest_due constant date := (p_as_of at time zone 'UTC' + interval '14 hours' - p_not_before)::date;
  v_label constant text := (class_activation.platform()).label;
begin
  return query
  with candidate as materialized (
    select c.*
    from class_activation.live_classes(
      'Scheduled', p_class_ids, nullif(coalesce(p_start_until, v_latest_due), 'infinity')
    ) c
  ), zone as materialized (
    select z.timezone, class_activation.zone_problem(z.timezone) as problem
    from (select distinct c.timezone from candidate c) z
  ), placed as materialized (
    select c.*, z.problem as zone_problem, h.run_id as held_by,
      -- what a timestamp can hold in every zone
      c.start_dt between date '4713-01-01 BC' and date '294275-12-31' as in_range,
      case
        when z.problem is null and c.start_dt between date '4713-01-01 BC' and date '294275-12-31' then
          (c.start_dt + p_not_before) at time zone c.timezone
      end as due_at
    from candidate c
    join zone z on coalesce(z.timezone, '') = coalesce(c.timezone, '')
    left join class_activation.current_holds() h on h.class_id = c.class_id
  )
  select p.class_id, p.facility_id, p.facility_name, p.timezone, p.start_dt, p.due_at,
    coalesce(p.due_at <= p_as_of and p.start_dt <= v_latest_due and not p.facility_deleted and p.held_by is null, false),
    case
      when p.facility_deleted or p.held_by is not null then null
      when p.zone_problem is not null then '22023'
      when not p.in_range then '22008'
    end,
    case
      when p.start_dt is null then format('no start date; set %s.start_dt', v_label)
      when p.facility_deleted then 'the facility is deleted'
      when p.held_by is not null then
        format('on hold, taken back by run %s; change its start date or status,', p.held_by)
          || format(' or select class_activation.release(%s)', p.class_id)
      when p.zone_problem is not null then
        p.zone_problem || '; set facilities.timezone to a name from pg_timezone_names'
      when not p.in_range then
        format('start date %s is not a day that a timestamp can hold; correct %s.start_dt', p.start_dt, v_label)
    end
  from placed p;
end;
$function$;

revoke execute on function class_activation.plan(timestamptz, time, integer[], date) from public;

comment on function class_activation.plan(timestamptz, time, integer[], date) is
'The live Scheduled classes (of p_class_ids, where given) that start until p_start_until (default: that have come to
their start date somewhere on earth at p_as_of; infinity: all, also without a date): since when a class is due,
counting from the local time of day p_not_before, whether it is due at p_as_of, and if it will not be activated, the
problem. problem_sqlstate is set where a row of the platform must be corrected: 22023 the time zone, 22008 the start
date.';
