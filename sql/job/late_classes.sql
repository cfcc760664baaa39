-- An application that had read Scheduled just before the activation may have enrolled a resident since, without
-- enrolled_at. The job looks for them for a day, and as long as the class has a problem: no other Active class is
-- ever touched.
create or replace function class_activation.late_classes(p_with_problem integer[])
returns integer[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set jit = off
set enable_indexscan = off
set enable_seqscan = off
as $function$
declare
  -- not what this transaction has just activated; in two parts, because an "or" would read the whole history
  v_activated constant integer[] := array(
    select a.class_id
    from class_activation.activations a
    where a.activated_at > now() - interval '24 hours'
      and a.activated_at < now()
      and a.reverted_by is null
    union
    select a.class_id
    from class_activation.activations a
    where a.class_id = any (p_with_problem)
      and a.activated_at < now()
      and a.reverted_by is null
  );
  v_pending integer[];
begin
  if v_activated <> '{}' then
    v_pending := array(select e.class_id from class_activation.pending_enrollments(v_activated) e);
  end if;
  if v_pending <> '{}' then
    return array(
      select c.class_id
      from class_activation.live_classes('Active', v_pending) c
      order by c.class_id = any (p_with_problem), c.class_id
    );
  end if;
  return '{}'::integer[];
end;
$function$;

revoke execute on function class_activation.late_classes(integer[]) from public;

comment on function class_activation.late_classes(integer[]) is
'Part of the job: the classes that it activated, that are still Active and live, and in which an enrollment is
pending; activated within the last 24 hours, or one of p_with_problem, which come last.';
