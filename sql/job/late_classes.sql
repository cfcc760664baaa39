-- An application that had read Scheduled just before the activation may have enrolled a resident since, without
-- enrolled_at. The job looks for them for a day, and as long as the class has a problem: no other Active class is
-- ever touched.
create or replace function class_activation.late_classes(p_with_problem integer[])
returns integer[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $function$
declare
  v_activated constant integer[] := array(
    select distinct a.class_id
    from class_activation.activations a
    where a.reverted_by is null
      and (a.activated_at > now() - interval '24 hours' or a.class_id = any (p_with_problem))
      -- not what this transaction has just activated
      and a.activated_at < now()
  );
begin
  if v_activated = '{}' then
    return v_activated;
  end if;
  return array(
    select e.class_id
    from class_activation.pending_enrollments(v_activated) e
    join class_activation.live_classes('Active', v_activated) c on c.class_id = e.class_id
    order by e.class_id = any (p_with_problem), e.class_id
  );
end;
$function$;

revoke execute on function class_activation.late_classes(integer[]) from public;

comment on function class_activation.late_classes(integer[]) is
'Part of the job: the classes that it activated, that are still Active and live, and in which an enrollment is
pending; activated within the last 24 hours, or one of p_with_problem, which come last.';
