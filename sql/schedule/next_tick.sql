create or replace function class_activation_internal.next_tick()
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
  v_at constant text := to_char((class_activation_internal.job()).next_tick_at at time zone 'UTC', ', HH24:MI "UTC"');
begin
  return (
    select case count(*) filter (where p.due)
        when 0 then 'no class is due' || coalesce(
          to_char(min(p.due_at) at time zone 'UTC', '; the next one is on YYYY-MM-DD at HH24:MI "UTC"'), '')
        when 1 then format('1 class is due and starts at the next tick%s; since %s', v_at, min(p.start_dt) filter (where p.due))
        else format('%s classes are due and start at the next tick%s; the oldest since %s', count(*) filter (where p.due), v_at,
          min(p.start_dt) filter (where p.due))
      end
    from class_activation.preview() p
  );
exception when object_not_in_prerequisite_state or lock_not_available or insufficient_privilege then
  return 'what is due cannot be told: ' || sqlerrm;
end;
$function$;

comment on function class_activation_internal.next_tick() is
'What the next tick will do, in a sentence for people.';
