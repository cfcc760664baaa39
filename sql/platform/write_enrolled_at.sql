create or replace function class_activation.write_enrolled_at(
  p_class_ids integer[],
  p_enrolled_at timestamptz,
  p_author integer
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $function$
begin
  return class_activation.write(
    format(
      'update public.program_class_enrollments'
        || ' set enrolled_at = $3, updated_at = pg_catalog.now(), update_user_id = $2'
        || ' where %I operator(pg_catalog.=) any ($1)'
        || ' and enrollment_status operator(pg_catalog.=) ''Enrolled'''
        || ' and pg_catalog.num_nulls(enrolled_at, deleted_at) operator(pg_catalog.=) 2',
      (class_activation.platform()).class_key
    ),
    p_class_ids, p_author, p_enrolled_at
  );
end;
$function$;

revoke execute on function class_activation.write_enrolled_at(integer[], timestamptz, integer) from public;

comment on function class_activation.write_enrolled_at(integer[], timestamptz, integer) is
'Gives the pending enrollments of p_class_ids p_enrolled_at in the name of p_author; returns how many.';
