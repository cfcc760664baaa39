create or replace function class_activation.preview(
  p_as_of timestamptz default now(),
  p_not_before time default null
)
returns table (
  class_id integer,
  class_name text,
  facility_id integer,
  facility_name text,
  timezone text,
  start_dt date,
  due_at timestamptz,
  due boolean,
  late interval,
  enrollments_to_backfill bigint,
  problem text
)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set row_security = off
set jit = off
as $function$
declare
  v_not_before constant time := coalesce(p_not_before, (select s.not_before from class_activation.settings s));
begin
  if p_as_of is null or p_as_of not between '0001-01-01' and '9999-12-31' then
    raise exception using
      errcode = '22023',
      message = format('p_as_of must be an instant of the years 1 to 9999, not %s', coalesce(p_as_of::text, 'null')),
      hint = 'Leave p_as_of out for now, or pass an instant such as now() + interval ''1 day''.';
  end if;

  return query
  with planned as materialized (
    select s.* from class_activation.plan(p_as_of, v_not_before, null, 'infinity') s
  ), pending as materialized (
    select e.class_id, cardinality(e.enrollment_ids)::bigint as enrollments
    from class_activation.pending_enrollments(array(select s.class_id from planned s)) e
  )
  select s.class_id, n.class_name, s.facility_id, s.facility_name, s.timezone, s.start_dt, s.due_at, s.due,
    case when s.due then p_as_of - s.due_at end,
    coalesce(e.enrollments, 0),
    coalesce(s.problem, p.message)
  from planned s
  join class_activation.class_details(array(select t.class_id from planned t)) n on n.class_id = s.class_id
  left join pending e on e.class_id = s.class_id
  left join class_activation.problems p on p.class_id = s.class_id
  order by s.due_at, s.class_id;
end;
$function$;

revoke execute on function class_activation.preview(timestamptz, time) from public;

comment on function class_activation.preview(timestamptz, time) is
'What a run would do, without doing it: one row for each live Scheduled class, earliest due first.
  p_as_of        the instant of the run (default now()); may lie in the future
  p_not_before   local time of day from which a class that starts that day counts (default: the hour of
                 class_activation.settings, as pg_cron passes it)
Returns due, whether a run at that instant activates the class; late, how long ago it became due; and problem, why it
will not be activated, or what failed last. Runs on a standby too.
Errors: 22023 p_as_of is null or out of range; 55000 the platform has another shape than this version knows; 42501 row
security hides rows of the platform.';
