-- The one pg_cron job, defined once. It runs as the owner of public.program_classes: a role that
-- may not log in cannot, and then the job is its creator's (username is null).
create function class_activation.job(
  p_schedule text,
  p_not_before time default '05:00',
  out jobname text,
  out schedule text,
  out command text,
  out database text,
  out username text
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
begin
  if p_schedule is null or p_not_before is null then
    raise exception using
      errcode = '22023',
      message = 'neither p_schedule nor p_not_before may be null',
      hint = 'Leave them out for every 15 minutes and 05:00.';
  end if;
  jobname := 'activate_scheduled_classes';
  schedule := p_schedule;
  command := format(
    'select public.activate_scheduled_classes(p_not_before => %L)',
    regexp_replace(p_not_before::text, ':00$', '')
  );
  database := current_database()::text;
  username := (
    select r.rolname::text
    from pg_class c
    join pg_roles r on r.oid = c.relowner
    where c.oid = 'public.program_classes'::regclass
      and r.rolcanlogin
  );
end;
$function$;

revoke execute on function class_activation.job(text, time) from public;

comment on function class_activation.job(text, time) is
'The pg_cron job that class_activation.schedule creates: the arguments of cron.schedule_in_database.
Errors: 22023 an argument is null.';
