-- The job. A run lists what is due (scheduled_classes, which asks rule), writes it batch by batch
-- (activate_batch) and leaves one row in class_activation.runs. A batch that fails is taken apart: its
-- classes are tried again one at a time, each in its own subtransaction, and the ones that fail
-- are recorded (record_problem) while all others go on.
create function public.activate_scheduled_classes(
  p_as_of timestamptz default now(),
  p_not_before time default '00:00',
  p_max_classes integer default null
)
returns table (
  class_id integer,
  facility_id integer,
  class_name text,
  start_dt date,
  due_at timestamptz,
  enrollments_backfilled bigint
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $function$
declare
  v_started_at constant timestamptz := clock_timestamp();
  v_batch_size constant integer := 1000;
  v_author integer;
  v_run_id bigint;
  v_due integer[];
  v_broken integer[];
  v_expected integer;
  v_classes integer[];
  v_done integer := 0;
  v_one_by_one_until integer := 0;
  v_batch integer[];
  v_result record;
  v_detail text;
  v_hint text;
  v_activated integer := 0;
  v_backfilled bigint := 0::bigint;
  v_failed integer := 0;
  v_skipped integer := 0;
begin
  if p_as_of is null or not isfinite(p_as_of) or p_as_of > clock_timestamp() then
    raise exception using
      errcode = '22023',
      message = format('p_as_of must be an instant that has come, not %s', coalesce(p_as_of::text, 'null')),
      hint = 'Leave p_as_of out for now; class_activation.preview(p_as_of) shows what a later run would do.';
  elsif p_not_before is null then
    raise exception using
      errcode = '22023',
      message = 'p_not_before must be a local time of day, not null',
      hint = 'Leave p_not_before out for the whole start date, or pass a time such as ''05:00''.';
  elsif p_max_classes < 1 then
    raise exception using
      errcode = '22023',
      message = format('p_max_classes must be at least 1, not %s', p_max_classes),
      hint = 'Leave p_max_classes out to activate all that is due.';
  end if;

  -- what is deferred would run at commit: with the caller's rights, and one class would stop all others
  set constraints all immediate;

  v_author := class_activation.batch_user();
  insert into class_activation.runs (started_at, as_of, not_before, called_by)
  values (v_started_at, p_as_of, p_not_before, session_user)
  returning id into v_run_id;

  select
    coalesce(array_agg(s.class_id order by s.due_at, s.class_id) filter (where s.due), '{}'),
    coalesce(array_agg(s.class_id) filter (where s.problem_sqlstate is not null), '{}')
  into v_due, v_broken
  from class_activation.scheduled_classes(p_as_of, p_not_before) s;

  v_expected := least(cardinality(v_due), p_max_classes);

  if v_broken <> '{}' then
    perform class_activation.record_problem(s.class_id, s.problem_sqlstate, s.problem_message)
    from class_activation.scheduled_classes(p_as_of, p_not_before, v_broken) s
    where s.problem_sqlstate is not null;
    get diagnostics v_failed = row_count;
  end if;

  -- first those that are not due but may need something: a late backfill, or a problem forgotten
  v_classes := array(
    select w.class_id
    from class_activation.waiting_enrollments(array(select class_activation.recently_activated())) w
    union
    select p.class_id from class_activation.problems p where p.last_seen_at < v_started_at
    except
    select d.class_id from unnest(v_due) d (class_id)
  ) || v_due;

  while v_done < cardinality(v_classes)
    and (p_max_classes is null or v_activated < p_max_classes)
  loop
    v_batch := v_classes[v_done + 1 : v_done + case
      when v_done < v_one_by_one_until then 1
      else least(v_batch_size, p_max_classes - v_activated)
    end];
    begin
      -- Only an enrollment in somebody else's hands makes a batch wait. It gives up well before
      -- deadlock_timeout (1 s), so that if two cross it is the job that yields, not the application.
      perform set_config('lock_timeout', case when v_done < v_one_by_one_until then '10ms' else '250ms' end, true);
      v_result := class_activation.activate_batch(v_run_id, v_batch, p_as_of, p_not_before, v_author);
      v_activated := v_activated + v_result.classes_activated;
      v_skipped := v_skipped + v_result.classes_skipped;
      v_backfilled := v_backfilled + v_result.enrollments_backfilled;
    exception
      when others then
        if cardinality(v_batch) > 1 then
          v_one_by_one_until := v_done + cardinality(v_batch);
          continue;
        elsif sqlstate in ('55P03', '40001', '40P01') then
          v_skipped := v_skipped + 1;
        else
          get stacked diagnostics v_detail = pg_exception_detail, v_hint = pg_exception_hint;
          perform class_activation.record_problem(
            v_batch[1], sqlstate, concat_ws('; ', sqlerrm, nullif(v_detail, ''), nullif(v_hint, ''))
          );
          v_failed := v_failed + 1;
        end if;
    end;
    v_done := v_done + cardinality(v_batch);
    if v_expected > 5000 and v_activated > 0 then
      raise notice '% of % classes activated', v_activated, v_expected;
    end if;
  end loop;

  perform class_activation.prune();

  update class_activation.runs r
  set finished_at = clock_timestamp(),
    classes_activated = v_activated,
    enrollments_backfilled = v_backfilled,
    classes_failed = v_failed,
    classes_skipped = v_skipped
  where r.id = v_run_id;

  if v_failed > 0 then
    raise warning using
      message = format('%s classes could not be activated', v_failed),
      hint = 'select * from class_activation.problems says why and what to do.';
  end if;
  if v_skipped > 0 then
    raise notice '% due classes are held by other sessions and wait for the next run', v_skipped;
  end if;

  if v_activated > 0 or v_failed > 0 then
    perform pg_notify('class_activation', json_build_object(
      'run_id', v_run_id,
      'classes_activated', v_activated,
      'enrollments_backfilled', v_backfilled,
      'classes_failed', v_failed
    )::text);
  end if;

  if v_activated > 0 then
    return query
    select a.class_id, a.facility_id, c.name::text, c.start_dt, a.due_at, a.enrollments_backfilled
    from class_activation.activations a
    join public.program_classes c on c.id = a.class_id
    where a.run_id = v_run_id
    order by a.due_at, a.class_id;
  end if;
end;
$function$;

revoke execute on function public.activate_scheduled_classes(timestamptz, time, integer) from public;

comment on function public.activate_scheduled_classes(timestamptz, time, integer) is
'Makes every Scheduled class Active whose start has come on its own facility''s clock, and gives its
enrolled residents their enrolled_at. Safe to call at any time, by any number of sessions at once.
  p_as_of        the instant to act for (default now()); may lie in the past, not in the future
  p_not_before   local time of day from which a class that starts that day counts (default 00:00; pg_cron passes 05:00)
  p_max_classes  activate at most so many, earliest due first (default all)
Returns one row for each class that this call activated. A class held by another session is left to
the next run; one that fails, or whose time zone is unknown, is recorded in class_activation.problems.
What the calling transaction has deferred (set constraints) becomes immediate.
Errors: 22023 an argument is out of range; P0002 there is no live user system_batch.';
