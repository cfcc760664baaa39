create or replace function class_activation.next_start_date(p_after date, p_timezones text[])
returns date
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set row_security = off
as $function$
declare
  v_start_dt date;
begin
  execute format(
    $sql$
      select min(c.start_dt)
      from public.%I c
      join public.facilities f on f.id = c.facility_id
      where c.status = 'Scheduled'
        and num_nulls(c.archived_at, c.deleted_at) = 2
        and c.start_dt > $1
        and f.deleted_at is null
        and f.timezone = any ($2)
        and c.id not in (select h.class_id from class_activation.holds h)
    $sql$,
    (class_activation.platform()).label
  )
  into v_start_dt
  using p_after, p_timezones;
  return v_start_dt;
end;
$function$;

revoke execute on function class_activation.next_start_date(date, text[]) from public;

comment on function class_activation.next_start_date(date, text[]) is
'The first start date after p_after of a live Scheduled class that is not on hold, at a live facility in one of
p_timezones; null where there is none.';
