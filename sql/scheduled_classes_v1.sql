-- The rule applied to the rows: every Scheduled, live class that may be due anywhere on earth.
-- The planner believes that a tenth of all classes is due, or without statistics that hardly any
-- has a null deleted_at. So num_nulls keeps it off the index on deleted_at, "offset 0" makes it ask
-- for facilities and zones only of what class_activation_due_idx finds, and a plan that would not
-- be worth compiling is not compiled.
create function class_activation.scheduled_classes(
  p_as_of timestamptz,
  p_not_before time,
  p_class_ids integer[] default null,
  p_latest_start date default null
)
returns table (
  class_id integer,
  facility_id integer,
  due boolean,
  due_at timestamptz,
  problem_sqlstate text,
  problem_message text
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
set jit = off
as $function$
declare
  -- no zone is more than 14 hours ahead of UTC, and a POSIX string that says so is not believed
  v_latest_due constant date := (p_as_of at time zone 'UTC' + interval '14 hours' - p_not_before)::date;
begin
  return query
  select c.id, c.facility_id, r.due and c.start_dt <= v_latest_due and b.run_id is null, r.due_at, r.problem_sqlstate,
    case
      when b.run_id is null then r.problem_message
      else format('taken back by run %s: change its start date or status,', b.run_id)
        || ' or delete its row in class_activation.held_back'
    end
  from public.program_classes c
  cross join lateral (
    select f.timezone
    from public.facilities f
    where f.id = c.facility_id
      and f.deleted_at is null
    offset 0
  ) f
  cross join lateral class_activation.rule(c.start_dt, f.timezone, p_as_of, p_not_before) r
  left join class_activation.held_back b on b.class_id = c.id and class_activation.is_held_back(b.class_id)
  where c.status = 'Scheduled'
    and num_nulls(c.archived_at, c.deleted_at) = 2
    and c.start_dt <= coalesce(p_latest_start, v_latest_due)
    and (p_class_ids is null or c.id = any (p_class_ids));
end;
$function$;

revoke execute on function class_activation.scheduled_classes(timestamptz, time, integer[], date) from public;

comment on function class_activation.scheduled_classes(timestamptz, time, integer[], date) is
'The Scheduled, not archived, not deleted classes of live facilities (of p_class_ids, or all) that start
until p_latest_start (default: that have come to their start somewhere on earth at p_as_of), each with
what class_activation.rule says of it. A class that revert took back is not due.';
