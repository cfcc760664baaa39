create or replace function class_activation.history(p_since timestamptz default now() - interval '1 day')
returns table (
  class_id integer, class_name text, facility_name text, activated_at timestamptz, local_time timestamp,
  late interval, enrollments_backfilled bigint, run_id bigint, called_by name, reverted boolean
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set row_security = off
set jit = off
as $function$
begin
  perform class_activation_internal.lock_platform();
  return query execute class_activation_internal.platform_sql($sql$
    select a.class_id, c.class_name, f.name::text, a.activated_at,
      case when z.problem is null then a.activated_at at time zone z.timezone end,
      a.activated_at - a.due_at, a.enrollments_backfilled, a.run_id, r.called_by, a.reverted_by is not null
    from class_activation.activations a
    left join class_activation_internal.classes(array(
      select b.class_id from class_activation.activations b where b.activated_at >= $1
    )) c on c.class_id = a.class_id
    left join {facilities} f on f.id = a.facility_id
    left join class_activation_internal.facility_timezones() z on z.timezone = f.timezone::text
    left join class_activation.runs r on r.id = a.run_id
    where a.activated_at >= $1
    order by a.activated_at, a.due_at, a.class_id
  $sql$)
  using p_since;
end;
$function$;
comment on function class_activation.history(timestamptz) is
'What the job did since p_since (default: a day ago), one row for each class that became Active: when, on the clock of
its facility too, how late, for how many residents, in which run, who called it (null after 90 days), and whether that
was reverted. Runs on a standby too.
Errors: 55000 unsupported platform schema; 55P03 a table of the platform is locked.';
