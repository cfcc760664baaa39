create or replace function class_activation.preview(p_as_of timestamptz default now(), p_not_before time default null)
returns table (
  class_id integer, class_name text, facility_id integer, facility_name text, timezone text, start_dt date,
  due_at timestamptz, due boolean, late interval, enrollments_to_backfill bigint, problem text
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set row_security = off
set jit = off
as $function$
begin
  if p_as_of is null or p_as_of not between '0001-01-01' and '9999-12-31' then
    raise exception using errcode = '22023',
      message = format('p_as_of must be a time in the years 1 to 9999 (%s)', coalesce(p_as_of::text, 'null')),
      hint = 'Omit p_as_of to use the current time, or pass a time such as now() + interval ''1 day''.';
  end if;
  perform class_activation_internal.lock_platform();

  return query
  with evaluated as materialized (
    select s.* from class_activation_internal.evaluate_classes(p_as_of, p_not_before, p_future => true) s
  )
  select s.class_id, c.class_name, s.facility_id, s.facility_name, s.timezone, s.start_dt, s.due_at, s.due,
    case when s.due then p_as_of - s.due_at end, coalesce(cardinality(e.enrollment_ids), 0)::bigint,
    coalesce(s.problem, p.message)
  from evaluated s
  join class_activation_internal.classes(array(select t.class_id from evaluated t)) c on c.class_id = s.class_id
  left join class_activation_internal.pending_enrollments(array(select t.class_id from evaluated t)) e
    on e.class_id = s.class_id
  left join class_activation.problems p on p.class_id = s.class_id
  order by s.due_at, s.class_id;
end;
$function$;
comment on function class_activation.preview(timestamptz, time) is
'What a run would do, without doing it: one row for each live Scheduled class, earliest due first.
  p_as_of        the time of the run (default now()); it may be in the future
  p_not_before   local time of day at which a class starts on its start date (default: that of class_activation.settings)
Returns due, whether a run at that time activates the class; late, how long ago it became due; and problem, why it will
not be activated, or what failed last. Writes nothing, and works on a standby.
Errors: 22023 p_as_of is null or out of range; 55000 unsupported platform schema, or settings has no row; 55P03 a table of
the platform is locked; 42501 row security hides rows of the platform.';
