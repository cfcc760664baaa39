-- One batch, all together or not at all: lock what nobody else holds, ask the rule again under the
-- lock, then write each class once and its enrollments once. The settings keep the planner, which
-- cannot know how few classes a batch has, from reading whole tables.
create function class_activation.activate_batch(
  p_run_id bigint,
  p_class_ids integer[],
  p_as_of timestamptz,
  p_not_before time,
  p_author integer,
  out classes_activated integer,
  out classes_skipped integer,
  out enrollments_backfilled bigint
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $function$
declare
  v_held integer[];
  v_updated integer;
begin
  -- "for update", because only that collides with the key share lock that the foreign key of an
  -- enrollment takes: a class waits until whoever is being enrolled is there to be backfilled.
  v_held := array(
    select c.id
    from public.program_classes c
    where c.id = any (p_class_ids)
      and (
        c.status = 'Scheduled'
        or exists (select from class_activation.problems p where p.class_id = c.id)
      )
    for update skip locked
  );

  with due as materialized (
    select s.class_id, s.facility_id, s.due_at, s.class_id in (select unnest(v_held)) as held
    from class_activation.scheduled_classes(p_as_of, p_not_before, p_class_ids) s
    where s.due
  ), activated as (
    update public.program_classes c
    set status = 'Active',
      updated_at = now(),
      update_user_id = p_author
    where c.id = any (array(select d.class_id from due d where d.held))
    returning c.id
  ), backfilled as (
    update public.program_class_enrollments e
    set enrolled_at = p_as_of,
      updated_at = now(),
      update_user_id = p_author
    where e.class_id = any (array(
        select d.class_id from due d where d.held
        union all
        select r.class_id from class_activation.recently_activated(p_class_ids) r (class_id)
      ))
      and e.enrollment_status = 'Enrolled'
      and num_nulls(e.enrolled_at, e.deleted_at) = 2
    returning e.class_id
  ), counted as (
    select b.class_id, count(*) as enrollments
    from backfilled b
    group by b.class_id
  ), logged as (
    insert into class_activation.activations
      (run_id, class_id, facility_id, due_at, activated_at, enrollments_backfilled)
    select p_run_id, d.class_id, d.facility_id, d.due_at, now(), coalesce(n.enrollments, 0)
    from due d
    left join counted n on n.class_id = d.class_id
    where d.held
  ), released as (
    delete from class_activation.held_back b
    where b.class_id = any (array(select d.class_id from due d where d.held))
  ), solved as (
    delete from class_activation.problems p
    where p.class_id = any (v_held)
      or (
        p.class_id = any (p_class_ids)
        and not exists (select from public.program_classes c where c.id = p.class_id)
      )
  )
  select
    (count(*) filter (where d.held))::integer,
    (count(*) filter (where not d.held))::integer,
    (select coalesce(sum(n.enrollments), 0)::bigint from counted n),
    (select count(*)::integer from activated)
  into classes_activated, classes_skipped, enrollments_backfilled, v_updated
  from due d;

  if v_updated <> classes_activated then
    raise exception using
      errcode = '55000',
      message = format('%s of %s classes did not take the update', classes_activated - v_updated, classes_activated),
      hint = 'Look for a before trigger, a rule or a row security policy on public.program_classes.';
  end if;
end;
$function$;

revoke execute on function class_activation.activate_batch(bigint, integer[], timestamptz, time, integer) from public;

comment on function class_activation.activate_batch(bigint, integer[], timestamptz, time, integer) is
'Activates those of p_class_ids that are due at p_as_of and that no other session holds, and backfills
their enrollments and those of the recently activated; forgets the problems of all that it could lock.
Everything is written as p_author on behalf of the run p_run_id. Returns how many classes it activated,
how many due ones it had to skip, and how many enrollments it backfilled; any error undoes it whole.';
