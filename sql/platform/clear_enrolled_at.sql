create or replace function class_activation.clear_enrolled_at(p_enrollment_ids integer[], p_author integer)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $function$
begin
  perform class_activation.write(
    'update public.program_class_enrollments'
      || ' set enrolled_at = null, updated_at = pg_catalog.now(), update_user_id = $2'
      || ' where id operator(pg_catalog.=) any ($1)',
    p_enrollment_ids, p_author
  );
end;
$function$;

revoke execute on function class_activation.clear_enrolled_at(integer[], integer) from public;

comment on function class_activation.clear_enrolled_at(integer[], integer) is
'Takes enrolled_at from p_enrollment_ids in the name of p_author.';
