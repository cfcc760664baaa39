-- The rule: a class is due from the instant at which the clock of its facility shows p_not_before on its start
-- date (due_at <= p_as_of). Zones are judged once each, and an unknown one is returned as a problem, not raised:
-- it must not stop the other facilities. num_nulls, because the planner would take "deleted_at is null" for
-- selective and its index for the best one.
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
set row_security = off
set jit = off
as $function$
declare
  v_label constant text := (class_activation.platform()).label;
  -- no zone is more than 14 hours ahead of UTC, and a POSIX string that says so is not believed
  v_latest_due constant date := (p_as_of at time zone 'UTC' + interval '14 hours' - p_not_before)::date;
begin
  return query execute format(
    $sql$
      with facility as materialized (
        select f.id, f.name::text, f.timezone::text, f.deleted_at is not null as deleted, z.problem
        from public.facilities f
        join class_activation.facility_zones() z on z.timezone is not distinct from f.timezone::text
      )
      select p.id, p.facility_id, p.name, p.timezone, p.start_dt, p.due_at,
        coalesce(p.due_at <= $1 and p.start_dt <= $3 and not p.facility_deleted and p.held_by is null, false),
        case
          when p.facility_deleted or p.held_by is not null then null
          when p.zone_problem is not null then '22023'
          when not p.in_range then '22008'
        end,
        case
          when p.start_dt is null then 'no start date; set %1$s.start_dt'
          when p.facility_deleted then 'the facility is deleted'
          when p.held_by is not null then
            format('on hold, taken back by run %%s; change its start date or status,', p.held_by)
              || format(' or select class_activation.release(%%s)', p.id)
          when p.zone_problem is not null then
            p.zone_problem || '; set facilities.timezone to a name from pg_timezone_names'
          when not p.in_range then
            format('start date %%s is not a day that a timestamp can hold; correct %1$s.start_dt', p.start_dt)
        end
      from (
        select c.id, c.facility_id, f.name, f.timezone, c.start_dt, f.deleted as facility_deleted,
          f.problem as zone_problem, h.run_id as held_by, r.in_range,
          case when f.problem is null and r.in_range then (c.start_dt + $2) at time zone f.timezone end as due_at
        from public.%1$I c
        join facility f on f.id = c.facility_id
        left join class_activation.current_holds() h on h.class_id = c.id
        -- what a timestamp can hold in every zone
        cross join lateral (select c.start_dt between date '4713-01-01 BC' and date '294275-12-31' as in_range) r
        where c.status = 'Scheduled'
          and num_nulls(c.archived_at, c.deleted_at) = 2
          and ($4 is null or c.id = any ($4))
          and ($5 is null or c.start_dt <= $5)
        offset 0  -- due_at is computed once
      ) p
    $sql$,
    v_label
  )
  using p_as_of, p_not_before, v_latest_due, p_class_ids, nullif(coalesce(p_start_until, v_latest_due), 'infinity');
exception when undefined_table or undefined_column then
  raise exception using
    errcode = '55000',
    message = format('this version knows two shapes of the platform, and database %I has neither: %s', current_database(), sqlerrm),
    hint = 'select * from class_activation.doctor() names what is missing. Is a newer version of class activation needed?';
end;
$function$;

revoke execute on function class_activation.plan(timestamptz, time, integer[], date) from public;

comment on function class_activation.plan(timestamptz, time, integer[], date) is
'The live Scheduled classes (of p_class_ids, where given) that start until p_start_until (default: that have come to
their start date somewhere on earth at p_as_of; infinity: all, also without a date): since when a class is due,
counting from the local time of day p_not_before, whether it is due at p_as_of, and if it will not be activated, the
problem. problem_sqlstate is set where a row of the platform must be corrected: 22023 the time zone, 22008 the start
date. Errors: 55000 the platform has neither of its two shapes; 42501 row security hides rows.';
