-- STAND-IN: the lead's file replaces this one.
create or replace function class_activation.facility_timezones()
returns table (timezone text, facilities text, problem text)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set row_security = off
as $function$
begin
  for timezone, facilities in
    execute class_activation.platform_sql($sql$
      select f.timezone::text,
        string_agg(format('%s (%s)', f.id, f.name), ', ' order by f.id) filter (where f.deleted_at is null)
      from {facilities} f
      group by f.timezone::text
    $sql$)
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

revoke execute on function class_activation.facility_timezones() from public;

comment on function class_activation.facility_timezones() is
'The distinct time zones of the facilities, each with those that are not deleted, by id and name (null: none), and why
PostgreSQL does not accept it as a time zone (null: it does).';
