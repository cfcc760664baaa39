create or replace function class_activation.next_start_date(p_after date)
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
      where c.status = 'Scheduled'
        and num_nulls(c.archived_at, c.deleted_at) = 2
        and c.start_dt > $1
    $sql$,
    (class_activation.platform()).label
  )
  into v_start_dt
  using p_after;
  return v_start_dt;
end;
$function$;

revoke execute on function class_activation.next_start_date(date) from public;

comment on function class_activation.next_start_date(date) is
'The first start date after p_after on which a live Scheduled class starts; null where there is none.';
