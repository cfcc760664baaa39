-- A batch that fails is tried again in halves, down to the class that fails; that one is recorded and the size
-- grows again. Classes that failed before begin with size one and a limited number of failures, so that a run
-- stays short while they still fail, and all of them come through once they are mended.
create or replace function class_activation.work_off(
  p_step text,
  p_run_id bigint,
  p_class_ids integer[],
  p_as_of timestamptz,
  p_not_before time,
  p_author integer,
  p_max_classes integer default null,
  p_failed_before boolean default false,
  out activated integer,
  out backfilled bigint,
  out skipped integer,
  out failed integer
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '250ms'
as $function$
declare
  v_largest constant integer := 1000;
  v_allowed_failures constant integer := case when p_failed_before then 50 end;
  v_timeout constant interval := nullif(current_setting('statement_timeout')::interval, interval '0');
  v_size integer := case when p_failed_before then 1 when v_timeout is not null then 100 else v_largest end;
  v_done integer := 0;
  v_batch integer[];
  v_result record;
  v_began timestamptz;
  v_slowest interval := interval '0';
  v_detail text;
  v_hint text;
begin
  activated := 0;
  backfilled := 0::bigint;
  skipped := 0;
  failed := 0;

  while v_done < cardinality(p_class_ids)
    and (activated < p_max_classes) is not false
    and (failed < v_allowed_failures) is not false
    -- a timeout would undo all of the run: end before it, with room for a batch of twice the size
    and (clock_timestamp() + 3 * v_slowest < statement_timestamp() + v_timeout) is not false
  loop
    v_batch := p_class_ids[v_done + 1 : v_done + least(v_size, p_max_classes - activated)];
    v_began := clock_timestamp();
    begin
      -- Only an enrollment that another session has locked makes a batch wait. It gives up well before
      -- deadlock_timeout (1 s), so that if two cross it is the job that yields, not the application.
      perform set_config('lock_timeout', case when v_size = v_largest then '250ms' else '10ms' end, true);
      if p_step = 'activate' then
        v_result := class_activation.activate_batch(p_run_id, v_batch, p_as_of, p_not_before, p_author);
      else
        v_result := class_activation.backfill_batch(p_run_id, v_batch, p_as_of, p_author);
      end if;
      activated := activated + v_result.activated;
      backfilled := backfilled + v_result.backfilled;
      skipped := skipped + v_result.skipped;
      v_size := least(2 * v_size, v_largest);
    exception
      when assert_failure or others then
        -- the server's own distress: out of resources, stopped by an operator, I/O errors, corrupted data
        if left(sqlstate, 2) in ('53', '57', '58', 'XX') then
          raise;
        elsif cardinality(v_batch) > 1 then
          v_size := cardinality(v_batch) / 2;
          continue;
        elsif sqlstate in ('55P03', '40001', '40P01') then
          skipped := skipped + 1;
        else
          get stacked diagnostics v_detail = pg_exception_detail, v_hint = pg_exception_hint;
          perform class_activation.record_problems(
            v_batch, array[sqlstate], array[concat_ws('; ', sqlerrm, nullif(v_detail, ''), nullif(v_hint, ''))]
          );
          failed := failed + 1;
        end if;
    end;
    v_done := v_done + cardinality(v_batch);
    v_slowest := greatest(v_slowest, clock_timestamp() - v_began);
    if activated > 0 and least(cardinality(p_class_ids), p_max_classes) > 5000 then
      raise notice '% of % classes activated', activated, least(cardinality(p_class_ids), p_max_classes);
    end if;
  end loop;
end;
$function$;

revoke execute on function class_activation.work_off(
  text, bigint, integer[], timestamptz, time, integer, integer, boolean
) from public;

comment on function class_activation.work_off(
  text, bigint, integer[], timestamptz, time, integer, integer, boolean
) is
'Part of the job: takes p_class_ids through p_step (activate or backfill) in batches and isolates the classes that
fail. Returns how many classes were activated, enrollments backfilled, classes skipped because another session has
locked them, and classes recorded in class_activation.problems.';
