-- From the first batch that meets a lock on, enrollments are locked first. A batch that fails is retried in halves, until
-- the failing class is alone; that one is recorded and the size grows again. Classes that failed before begin with size
-- one and a limited number of failures, so that a run stays short while they still fail, and all of them succeed once
-- they are fixed.
create or replace function class_activation_internal.run_in_batches(
  p_run class_activation.runs, p_class_ids integer[], p_user_id integer, p_max_classes integer default null,
  p_backfill boolean default false, p_failed_before boolean default false
)
returns class_activation.runs
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- A session of the platform checks for a deadlock only once, and is the victim if the job happens to wait at that moment.
-- So the job does not wait: it finds locked rows without waiting, and this setting ends any other wait.
set lock_timeout = '1ms'
as $function$
declare
  v_largest constant integer := 1000;
  v_few constant integer := 3;
  v_allowed_failures constant integer := case when p_failed_before then p_run.classes_failed + 50 end;
  v_expected constant integer := least(cardinality(p_class_ids), p_max_classes);
  v_deadline constant timestamptz := least(
    statement_timestamp() + nullif(current_setting('statement_timeout')::interval, interval '0'),
    now() + nullif(current_setting('transaction_timeout', true)::interval, interval '0')
  );
  v_size integer := case when p_failed_before then 1 when v_deadline is not null then 100 else v_largest end;
  v_class_ids integer[] := p_class_ids;
  v_first integer := 1;
  v_last integer := cardinality(p_class_ids);
  v_batch integer[];
  v_lock_enrollments boolean := false;
  v_skipped integer[] := array[]::integer[];
  v_retrying boolean := false;
  -- single classes that met a lock or a server error, without a success in between
  v_in_a_row integer := 0;
  v_began timestamptz;
  v_slowest interval := interval '0';
  v_result record;
  v_detail text;
  v_hint text;
begin
  loop
    if v_first > v_last and not v_retrying then
      v_class_ids := v_skipped;
      v_first := 1;
      v_last := cardinality(v_skipped);
      v_skipped := '{}';
      v_retrying := true;
    end if;
    exit when v_first > v_last or p_run.classes_activated >= p_max_classes or p_run.classes_failed >= v_allowed_failures;
    -- a timeout would undo the whole run: stop before it, with room for a batch of twice the size
    if clock_timestamp() + 3 * v_slowest >= v_deadline then
      p_run.classes_left := p_run.classes_left + v_last - v_first + 1;
      exit;
    end if;

    v_batch := case
      -- does every class meet it? try the other end of the list
      when v_in_a_row = v_few then v_class_ids[v_last : v_last]
      else v_class_ids[v_first : least(v_first - 1 + least(v_size, p_max_classes - p_run.classes_activated), v_last)]
    end;
    v_began := clock_timestamp();
    begin
      if p_backfill then
        v_result := class_activation_internal.backfill_batch(p_run, v_batch, p_user_id, v_lock_enrollments);
      else
        v_result := class_activation_internal.activate_batch(p_run, v_batch, p_user_id, v_lock_enrollments);
      end if;
      p_run.classes_activated := p_run.classes_activated + v_result.activated;
      p_run.enrollments_backfilled := p_run.enrollments_backfilled + v_result.backfilled;
      v_skipped := v_skipped || v_result.skipped;
      v_size := least(2 * v_size, v_largest);
      v_in_a_row := 0;
    exception
      when assert_failure or others then
        if sqlstate in ('55P03', '40001', '40P01') and not v_lock_enrollments then
          v_lock_enrollments := true;
          continue;
        elsif cardinality(v_batch) > 1 then
          v_size := cardinality(v_batch) / 2;
          continue;
        elsif sqlstate in ('55P03', '40001', '40P01') then
          v_skipped := v_skipped || v_batch;
          if v_in_a_row = v_few then
            v_skipped := v_skipped || v_class_ids[v_first : v_last - 1];
            exit;
          end if;
          v_in_a_row := v_in_a_row + 1;
        else
          if left(sqlstate, 2) not in ('53', '57', '58', 'XX') or p_failed_before then
            v_in_a_row := 0;
          elsif v_in_a_row < v_few then
            -- out of resources, operator intervention, I/O or internal error: perhaps only in a trigger of this class
            v_in_a_row := v_in_a_row + 1;
          else
            raise;
          end if;
          get stacked diagnostics v_detail = pg_exception_detail, v_hint = pg_exception_hint;
          perform class_activation_internal.record_problems(
            v_batch, array[sqlstate], array[concat_ws('; ', sqlerrm, nullif(v_detail, ''), nullif(v_hint, ''))]
          );
          p_run.classes_failed := p_run.classes_failed + 1;
        end if;
    end;
    if v_batch[1] = v_class_ids[v_first] then
      v_first := v_first + cardinality(v_batch);
    else
      v_last := v_last - 1;
    end if;
    v_slowest := greatest(v_slowest, clock_timestamp() - v_began);
    if v_expected > 5000 and not p_backfill then
      raise notice '% of % classes activated', p_run.classes_activated, v_expected;
    end if;
  end loop;
  p_run.classes_skipped := p_run.classes_skipped + cardinality(v_skipped);
  return p_run;
end;
$function$;
comment on function class_activation_internal.run_in_batches(
  class_activation.runs, integer[], integer, integer, boolean, boolean
) is
'Part of the job: activates p_class_ids, or with p_backfill only backfills their enrollments, in batches, and isolates the
classes that fail. Returns p_run with its counters increased. A lock or a server error that a few classes in a row meet,
and then the last one too, ends it.';
