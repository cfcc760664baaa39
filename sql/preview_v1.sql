create function class_activation.preview(
  p_as_of timestamptz default now(),
  p_not_before time default '05:00'
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
as $function$
begin
  if p_as_of is null or not isfinite(p_as_of) or p_not_before is null then
    raise exception using
      errcode = '22023',
      message = format('cannot preview p_as_of %s, p_not_before %s',
        coalesce(p_as_of::text, 'null'), coalesce(p_not_before::text, 'null')),
      hint = 'Pass an instant and a local time of day, or leave them out for now and 05:00.';
  end if;

  return query
  select c.id, c.name::text, f.id, f.name::text, f.timezone::text, c.start_dt, s.due_at, coalesce(s.due, false),
    case when s.due then p_as_of - s.due_at end,
    coalesce(w.enrollments, 0),
    coalesce(s.problem_message, p.message, case
      when c.start_dt is null then 'no start date; set program_classes.start_dt'
      when f.deleted_at is not null then 'the facility is deleted'
    end)
  from public.program_classes c
  join public.facilities f on f.id = c.facility_id
  left join class_activation.scheduled_classes(p_as_of, p_not_before, null, 'infinity') s on s.class_id = c.id
  left join class_activation.waiting_enrollments(array(
    select x.id from public.program_classes x where x.status = 'Scheduled'
  )) w on w.class_id = c.id
  left join class_activation.problems p on p.class_id = c.id
  where c.status = 'Scheduled'
    and num_nulls(c.archived_at, c.deleted_at) = 2
  order by s.due_at, c.id;
end;
$function$;

revoke execute on function class_activation.preview(timestamptz, time) from public;

comment on function class_activation.preview(timestamptz, time) is
'What a run at p_as_of (default now(), the future is welcome) would do, counting from the local time of
day p_not_before (default 05:00, as pg_cron does), without doing it: one row for each Scheduled, not
archived, not deleted class, earliest due first. due is what a run at that instant activates, late how
long ago it became due, problem why it will not be activated. Runs on a standby too.
Errors: 22023 an argument is null or infinite.';
