-- Nothing here may undo the run: a full queue would, at commit.
create or replace function class_activation.announce(p_run class_activation.runs)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $function$
begin
  if p_run.classes_failed > 0 then
    raise warning using
      message = format('%s classes could not be activated', p_run.classes_failed),
      hint = 'select * from class_activation.problems says why and what to do.';
  end if;
  if p_run.classes_skipped > 0 then
    raise notice '% due classes are locked by other sessions and wait for the next run', p_run.classes_skipped;
  end if;

  if (p_run.classes_activated > 0 or p_run.classes_failed > 0) and pg_notification_queue_usage() < 0.5 then
    perform pg_notify('class_activation', json_build_object(
      'run_id', p_run.id,
      'classes_activated', p_run.classes_activated,
      'enrollments_backfilled', p_run.enrollments_backfilled,
      'classes_failed', p_run.classes_failed
    )::text);
  end if;
end;
$function$;

revoke execute on function class_activation.announce(class_activation.runs) from public;

comment on function class_activation.announce(class_activation.runs) is
'Part of the job: says what the run did, as NOTICE, WARNING and on the channel class_activation, unless the queue of
notifications is half full.';
