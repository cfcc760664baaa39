-- The rule, said once: a class is due when the clock on its facility's wall has come to
-- p_not_before on its start date. A zone that the server does not know is an answer here, not an
-- error: it must not stop the other facilities.
create function class_activation.rule(
  p_start_dt date,
  p_timezone text,
  p_as_of timestamptz,
  p_not_before time,
  out due boolean,
  out due_at timestamptz,
  out problem_sqlstate text,
  out problem_message text
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
begin
  if p_timezone is null then
    raise exception using errcode = '22023', message = 'time zone is null';
  end if;
  due := p_start_dt + p_not_before <= p_as_of at time zone p_timezone;
  due_at := (p_start_dt + p_not_before) at time zone p_timezone;
exception when others then
  due := false;
  problem_sqlstate := sqlstate;
  problem_message := sqlerrm || case sqlstate
    when '22023' then '; set facilities.timezone to a name from pg_timezone_names'
    else format('; correct program_classes.start_dt (%s)', p_start_dt)
  end;
end;
$function$;

revoke execute on function class_activation.rule(date, text, timestamptz, time) from public;

comment on function class_activation.rule(date, text, timestamptz, time) is
'Whether a class that starts on p_start_dt at a facility in p_timezone is due at p_as_of, counting
from the local time of day p_not_before, and the instant at which it is (due_at). Where that cannot
be told, due is false, and problem_sqlstate and problem_message say why and what to do.';
