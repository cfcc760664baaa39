-- The rule: a class is due from the moment at which the clock of its facility shows p_not_before on its start date
-- (due_at <= p_as_of). An unknown zone is returned as a problem, not raised: it must not stop the other facilities.
-- num_nulls, because the planner would take "deleted_at is null" for selective and its index for the best one.
create or replace function class_activation_internal.evaluate_classes(
  p_as_of timestamptz, p_not_before time, p_class_ids integer[] default null, p_future boolean default false
)
returns table (
  class_id integer, facility_id integer, facility_name text, timezone text, start_dt date, due_at timestamptz,
  due boolean, problem_sqlstate text, problem text
)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $function$
declare
  v_not_before constant time := coalesce(p_not_before, (select s.not_before from class_activation.settings s));
  -- no zone is more than 14 hours ahead of UTC; a POSIX zone that says so is ignored
  v_latest_start constant date := (p_as_of at time zone 'UTC' + interval '14 hours' - v_not_before)::date;
  v_query text;
begin
  if v_not_before is null then
    raise exception using errcode = '55000',
      message = 'table class_activation.settings has no row, so the hour at which classes start is not known',
      hint = 'Restore the row, or the defaults: insert into class_activation.settings default values;';
  end if;
  v_query := class_activation_internal.platform_sql($sql$
    with facility as materialized (
      select f.id, f.name::text, f.timezone::text, f.deleted_at is not null as deleted, z.problem
      from {facilities} f
      join class_activation_internal.facility_timezones() z on z.timezone is not distinct from f.timezone::text
    )
    select p.id, p.facility_id, p.name, p.timezone, p.start_dt, p.due_at,
      coalesce(p.due_at <= $1 and p.start_dt <= $3 and not p.facility_deleted and p.reverted_by is null, false),
      case
        when p.no_start_date or p.facility_deleted or p.reverted_by is not null or p.start_dt > $3 then null
        when p.zone_problem is not null then '22023'
        when not p.in_range then '22008'
      end,
      case
        when p.no_start_date then 'no start date; set {class_table}.start_dt'
        when p.facility_deleted then 'the facility is deleted'
        when p.reverted_by is not null then format('on hold since run %s reverted it; change its start date or status,'
          || ' or select class_activation.release(%s)', p.reverted_by, p.id)
        when p.zone_problem is not null then p.zone_problem
          || '; set facilities.timezone to a name from pg_timezone_names'
        when not p.in_range then
          format('start date %s is out of range for a timestamp; correct {class_table}.start_dt', p.start_dt)
      end
    from (
      select c.id, c.facility_id, f.name, f.timezone, c.start_dt, f.deleted as facility_deleted,
        f.problem as zone_problem, h.run_id as reverted_by, r.no_start_date, r.in_range,
        case when f.problem is null and r.in_range and not r.no_start_date then
          (c.start_dt + $2) at time zone f.timezone end as due_at
      from {classes} c
      join facility f on f.id = c.facility_id
      left join class_activation_internal.current_holds() h on h.class_id = c.id
      cross join lateral (
        -- the platform stores a missing date as Go's zero time, in UTC or west of it
        select coalesce(c.start_dt in (date '0001-01-01', date '0001-12-31 BC'), true) as no_start_date,
          -- the range of a timestamp, in every zone
          c.start_dt between date '4713-01-01 BC' and date '294275-12-31' as in_range
      ) r
      where c.status = 'Scheduled'
        and num_nulls(c.archived_at, c.deleted_at) = 2
        and ($4 is null or c.id = any ($4))
        and ($5 or c.start_dt <= $3)
      offset 0  -- due_at is computed once
    ) p
  $sql$);
  begin
    return query execute v_query using p_as_of, v_not_before, v_latest_start, p_class_ids, p_future;
  exception when undefined_function then
    -- a domain over an enum has no operators
    return query execute replace(v_query, 'c.status = ', 'c.status::text = ')
    using p_as_of, v_not_before, v_latest_start, p_class_ids, p_future;
  end;
exception when undefined_table or undefined_column or undefined_function then
  raise exception using errcode = '55000',
    message = format('unsupported platform schema in database %I: %s', current_database(), sqlerrm),
    hint = 'Nothing was changed. select * from class_activation.doctor() shows what is missing; class activation knows'
      || ' two shapes of the platform, with and without cohorts.';
end;
$function$;
comment on function class_activation_internal.evaluate_classes(timestamptz, time, integer[], boolean) is
'The live Scheduled classes (of p_class_ids, if given) that may have started somewhere on earth at p_as_of, or with
p_future all: since when a class is due, counting from the local time of day p_not_before (null: that of settings), whether
it is due at p_as_of, and if it will not be activated, the problem. problem_sqlstate is set where a row of the platform must
be corrected now: 22023 the time zone, 22008 the start date.
Errors: 55000 unsupported platform schema, or settings has no row; 42501 row security hides rows.';
