create or replace function class_activation.dated_enrollments(p_enrollment_ids integer[], p_lock boolean)
returns table (
  class_id integer,
  enrollment_id integer,
  enrolled_at timestamptz,
  updated_at timestamptz,
  update_user_id integer
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set row_security = off
as $function$
begin
  return query execute format(
    $sql$
      select e.%I, e.id, e.enrolled_at, e.updated_at, e.update_user_id
      from public.program_class_enrollments e
      where e.id = any ($1)
        and e.enrollment_status = 'Enrolled'
        and e.enrolled_at is not null
        and e.deleted_at is null
      %s
    $sql$,
    (class_activation.platform()).class_key, case when p_lock then 'for no key update skip locked' end
  )
  using p_enrollment_ids;
end;
$function$;

revoke execute on function class_activation.dated_enrollments(integer[], boolean) from public;

comment on function class_activation.dated_enrollments(integer[], boolean) is
'Those of p_enrollment_ids that are Enrolled, not deleted and have an enrolled_at; with p_lock they are locked, and
the ones that another session has locked are left out.';
