-- Only the holder of a class writes its problem, so two runs never wait for each other here.
create function class_activation.record_problem(p_class_id integer, p_sqlstate text, p_message text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $function$
begin
  insert into class_activation.problems as p
    (class_id, facility_id, first_seen_at, last_seen_at, attempts, sqlstate, message)
  select c.id, c.facility_id, clock_timestamp(), clock_timestamp(), 1, p_sqlstate, p_message
  from public.program_classes c
  where c.id = p_class_id
  for no key update skip locked
  on conflict (class_id) do update
  set facility_id = excluded.facility_id,
    last_seen_at = excluded.last_seen_at,
    attempts = p.attempts + 1,
    sqlstate = excluded.sqlstate,
    message = excluded.message;
end;
$function$;

revoke execute on function class_activation.record_problem(integer, text, text) from public;

comment on function class_activation.record_problem(integer, text, text) is
'Notes in class_activation.problems that the class could not be activated, unless another session
holds it.';
