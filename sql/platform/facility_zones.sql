create or replace function class_activation.facility_zones()
returns table (timezone text, facility_ids text, problem text)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set row_security = off
as $function$
begin
  for timezone, facility_ids in
    select f.timezone::text, string_agg(f.id::text, ', ' order by f.id) filter (where f.deleted_at is null)
    from public.facilities f
    group by f.timezone
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

revoke execute on function class_activation.facility_zones() from public;

comment on function class_activation.facility_zones() is
'The distinct time zones of the facilities, each with the ids of those that are not deleted (null: none), and why
PostgreSQL takes it for no time zone (null: it is one).';
