-- An application that read Scheduled just before the activation may enroll a resident just after it, without enrolled_at.
-- The job looks for such enrollments for a day, or as long as the class has a problem, and touches no other Active class.
-- An outage of the job extends the day.
create or replace function class_activation_internal.late_enrollment_classes(p_with_problem integer[])
returns integer[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
set enable_indexscan = off
set enable_seqscan = off
as $function$
declare
  v_since constant timestamptz := least(now(), (
    -- a serializable transaction would conflict with every other caller, which adds a row here
    select min(c.called_at) + interval '1 hour'
    from (
      (select r.started_at as called_at from class_activation.runs r where r.reverts is null order by 1 desc limit 4)
      union all
      (select t.ticked_at from class_activation.ticks t where t.ticked_at < now() order by 1 desc limit 4)
      order by 1 desc
      limit 4
    ) c
    where current_setting('transaction_isolation') <> 'serializable'
  )) - interval '24 hours';
  -- without this transaction's own activations; in two parts, because an OR would scan the whole history
  v_activated constant integer[] := array(
    select a.class_id from class_activation.activations a
    where a.activated_at > v_since and a.activated_at < now() and a.reverted_by is null
    union all
    select a.class_id from class_activation.activations a
    where a.class_id = any (p_with_problem) and a.activated_at < now() and a.reverted_by is null
  );
  v_pending integer[];
begin
  if v_activated <> '{}' then
    v_pending := array(select e.class_id from class_activation_internal.pending_enrollments(v_activated) e);
  end if;
  if v_pending <> '{}' then
    return array(
      select c.class_id from class_activation_internal.classes(v_pending) c
      where c.live_status = 'Active'
      order by c.class_id = any (p_with_problem), c.class_id
    );
  end if;
  return array[]::integer[];
end;
$function$;
comment on function class_activation_internal.late_enrollment_classes(integer[]) is
'Part of the job: classes with a pending enrollment, still Active, that it activated in the last 24 hours in which it ran;
also those of p_with_problem, which come last.';
