-- Nothing here may undo the run: a full queue would, at commit.
create or replace function class_activation.announce(p_run_id bigint)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $function$
declare
  v_run constant class_activation.runs := (select r from class_activation.runs r where r.id = p_run_id);
begin
  if v_run.classes_failed > 0 then
    raise warning using
      message = format('%s classes could not be activated', v_run.classes_failed),
      hint = 'select * from class_activation.problems says why and what to do.';
  end if;
  if v_run.classes_skipped > 0 then
    raise notice '% due classes are locked by other sessions and wait for the next run', v_run.classes_skipped;
  end if;

  if (v_run.classes_activated > 0 or v_run.classes_failed > 0) and pg_notification_queue_usage() < 0.5 then
    perform pg_notify('class_activation', json_build_object(
      'run_id', v_run.id,
      'classes_activated', v_run.classes_activated,
      'enrollments_backfilled', v_run.enrollments_backfilled,
      'classes_failed', v_run.classes_failed
    )::text);
  end if;
end;
$function$;

revoke execute on function class_activation.announce(bigint) from public;

comment on function class_activation.announce(bigint) is
'Part of the job: says what the run did, as NOTICE, WARNING and on the channel class_activation, unless the queue of
notifications is half full.';
