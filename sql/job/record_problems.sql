-- Only the session that has locked a class records its problem, so two runs never wait for each other here.
create or replace function class_activation_internal.record_problems(
  p_class_ids integer[], p_sqlstates text[], p_messages text[]
)
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $function$
begin
  insert into class_activation.problems as p
    (class_id, facility_id, first_seen_at, last_seen_at, attempts, sqlstate, message)
  select n.class_id, c.facility_id, clock_timestamp(), clock_timestamp(), 1, n.sqlstate, n.message
  from unnest(class_activation_internal.lock_classes(p_class_ids, null, false)) l (class_id)
  join unnest(p_class_ids, p_sqlstates, p_messages) n (class_id, sqlstate, message) on n.class_id = l.class_id
  join class_activation_internal.classes(p_class_ids) c on c.class_id = l.class_id
  on conflict (class_id) do update
  set facility_id = excluded.facility_id,
    last_seen_at = excluded.last_seen_at,
    attempts = p.attempts + 1,
    sqlstate = excluded.sqlstate,
    message = excluded.message;
end;
$function$;
comment on function class_activation_internal.record_problems(integer[], text[], text[]) is
'Part of the job: records in problems why classes could not be activated or backfilled, without locked ones.';
