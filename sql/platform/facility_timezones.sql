-- Callers have called lock_platform, so public.facilities is the platform's table.
create or replace function class_activation_internal.facility_timezones()
returns table (timezone text, facilities text, problem text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $function$
begin
  for timezone, facilities in
    select f.timezone::text,
      string_agg(format('%s (%s)', f.id, f.name), ', ' order by f.id) filter (where f.deleted_at is null)
    from public.facilities f
    group by f.timezone::text
  loop
    begin
      perform now() at time zone timezone;
      problem := case when timezone is null then 'time zone is null' end;
    exception when invalid_parameter_value then
      problem := sqlerrm;
    end;
    return next;
  end loop;
end;
$function$;
comment on function class_activation_internal.facility_timezones() is
'The distinct time zones of the facilities, each with its live facilities (null: none), and why PostgreSQL rejects it (null:
it does not).';
