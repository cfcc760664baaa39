-- Takes back what a run did, as far as nobody has built on it: whoever wrote after the run has left
-- another updated_at, and is right.
create function class_activation.revert(p_run_id bigint, p_class_ids integer[] default null)
returns table (class_id integer, enrollments_reverted bigint)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $function$
#variable_conflict use_column
declare
  v_author constant integer := class_activation.batch_user();
  v_reverted class_activation.runs;
  v_held integer[];
  v_run_id bigint;
begin
  select r.* into v_reverted from class_activation.runs r where r.id = p_run_id and r.reverts is null;
  if not found then
    raise exception using
      errcode = 'P0002',
      message = format('there is no run %s that could be taken back', coalesce(p_run_id::text, 'null')),
      hint = 'Choose one from class_activation.runs in which reverts is null; runs are kept for 90 days.';
  end if;

  -- as in the job: what is deferred would run at commit, with the caller's rights
  set constraints all immediate;

  insert into class_activation.runs (started_at, as_of, not_before, called_by, reverts)
  values (clock_timestamp(), now(), v_reverted.not_before, session_user, p_run_id)
  returning id into v_run_id;

  v_held := array(
    select c.id
    from class_activation.activations a
    join public.program_classes c on c.id = a.class_id
    where a.run_id = p_run_id
      and (p_class_ids is null or a.class_id = any (p_class_ids))
      and c.status = 'Active'
      and num_nulls(c.archived_at, c.deleted_at) = 2
      and (c.updated_at, c.update_user_id) = (a.activated_at, v_author)
    for update of c skip locked
  );

  update public.program_classes c
  set status = 'Scheduled',
    updated_at = now(),
    update_user_id = v_author
  where c.id = any (v_held);

  insert into class_activation.held_back (class_id, run_id, history_id, since)
  select h.class_id, v_run_id, coalesce((select max(x.id) from public.program_classes_history x), 0), now()
  from unnest(v_held) h (class_id)
  on conflict (class_id) do update
  set run_id = excluded.run_id,
    history_id = excluded.history_id,
    since = excluded.since;

  return query
  with untouched as (
    select e.id
    from public.program_class_enrollments e
    join class_activation.activations a on a.class_id = e.class_id and a.run_id = p_run_id
    where e.class_id = any (v_held)
      and e.enrollment_status = 'Enrolled'
      and e.deleted_at is null
      and (e.enrolled_at, e.updated_at, e.update_user_id) = (v_reverted.as_of, a.activated_at, v_author)
    for update of e skip locked
  ), reverted as (
    update public.program_class_enrollments e
    set enrolled_at = null,
      updated_at = now(),
      update_user_id = v_author
    from untouched u
    where e.id = u.id
    returning e.class_id
  ), logged as (
    update class_activation.activations a
    set reverted_by = v_run_id
    where a.run_id = p_run_id
      and a.class_id = any (v_held)
  )
  select h.class_id, count(r.class_id)
  from unnest(v_held) h (class_id)
  left join reverted r on r.class_id = h.class_id
  group by h.class_id
  order by h.class_id;

  update class_activation.runs r set finished_at = clock_timestamp() where r.id = v_run_id;
end;
$function$;

revoke execute on function class_activation.revert(bigint, integer[]) from public;

comment on function class_activation.revert(bigint, integer[]) is
'Takes the run p_run_id back, or of it only p_class_ids: those of its classes that are still Active and
that nobody has changed since are Scheduled again, and the enrollments that it gave an enrolled_at, and
that nobody has changed since, lose it. Returns one row for each class taken back; all others, and those
that another session holds, stay as they are. Recorded as a run of its own (runs.reverts).
A class taken back is held back: it is activated again only when its start date or status is changed, or
when a DBA says so: delete from class_activation.held_back where class_id = ...
Errors: P0002 there is no such run, or no live user system_batch.';
