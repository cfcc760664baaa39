create or replace function class_activation.platform(
  out class_table text, out class_column text, out name_column text, out change_log boolean
)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $function$
begin
  class_table := class_activation_internal.platform_sql('{class_table}');
  class_column := class_activation_internal.platform_sql('{class_column}');
  name_column := case class_column when 'class_id' then 'id' else 'class_id' end;
  change_log := class_activation_internal.platform_sql('{change_log}') is not null;
end;
$function$;
comment on function class_activation.platform() is
'The names that differ between the two shapes of the platform: class_table carries the status, class_column of an
enrollment refers to it, and its name_column to the row of program_classes with the name that people see; change_log is
whether the platform has one. Errors: 55000 unsupported platform schema.';
