-- The platform has two shapes: either program_classes carries the status, or program_class_cohorts does. Which
-- one it is decides when a call begins; the statements of this folder are formatted with these names.
create or replace function class_activation.platform(
  out label text,
  out class_key text,
  out name_key text,
  out change_log boolean
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
begin
  if to_regclass('public.program_class_cohorts') is not null then
    label := 'program_class_cohorts';
    class_key := 'cohort_id';
    name_key := 'class_id';
  else
    label := 'program_classes';
    class_key := 'class_id';
    name_key := 'id';
  end if;
  change_log := to_regclass('public.change_log_entries') is not null;
end;
$function$;

revoke execute on function class_activation.platform() from public;

comment on function class_activation.platform() is
'The names that differ between the two shapes of the platform: the table that carries the status, which is also its
label in history and change log, the column of an enrollment that refers to it (class_key), its own column that refers
to the row of program_classes with the name that people see (name_key), and whether there is a change log.';
