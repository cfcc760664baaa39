-- What is written is read again, because a trigger, a rule or a policy may have kept a row as it was or written
-- something else, and PostgreSQL then reports neither an error nor, always, a smaller number of rows. Where the
-- platform has no such code on enrollments, the update's own rows are what stands there, and one pass is enough.
create or replace function class_activation.write_enrolled_at(
  p_run_id bigint,
  p_class_ids integer[],
  p_enrolled_at timestamptz,
  p_author integer
)
returns setof class_activation.late_enrollments
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set row_security = off
as $function$
declare
  v_class_key constant text := (class_activation.platform()).class_key;
  v_pending constant text := format(
    '%I operator(pg_catalog.=) any ($1)'
      || ' and enrollment_status operator(pg_catalog.=) ''Enrolled'''
      || ' and pg_catalog.num_nulls(enrolled_at, deleted_at) operator(pg_catalog.=) 2',
    v_class_key
  );
  v_update constant text := 'update public.program_class_enrollments'
    || ' set enrolled_at = $3, updated_at = pg_catalog.now(), update_user_id = $2'
    || ' where ' || v_pending;
  v_given integer[];
  v_incomplete integer[];
begin
  if not class_activation.enrollments_have_code() then
    perform set_config('search_path', class_activation.application_path(), true);
    return query execute format(
      'with written as (%s returning %I as class_id, id)'
        || ' select $4, w.class_id, pg_catalog.array_agg(w.id), array[$3], array[pg_catalog.now()], array[$2]'
        || ' from written w group by w.class_id',
      v_update, v_class_key
    )
    using p_class_ids, p_author, p_enrolled_at, p_run_id;
    return;
  end if;

  execute format('select array(select id from public.program_class_enrollments where %s for no key update)', v_pending)
  into v_given
  using p_class_ids;
  perform class_activation.write(v_update, p_class_ids, p_author, p_enrolled_at);
  perform class_activation.fire_deferred_triggers();
  v_incomplete := array(select e.class_id from class_activation.pending_enrollments(p_class_ids) e);
  if v_incomplete <> '{}' then
    raise exception using
      errcode = '55000',
      message = 'the update left an enrollment without enrolled_at',
      hint = 'Look for a before trigger, a rule or a row security policy on the platform''s enrollments.';
  end if;

  return query
  select p_run_id, e.class_id, array_agg(e.enrollment_id), array_agg(distinct e.enrolled_at),
    array_agg(distinct e.updated_at), array_agg(distinct e.update_user_id)
  from class_activation.dated_enrollments(v_given, false) e
  where e.class_id = any (p_class_ids)
  group by e.class_id;
end;
$function$;

revoke execute on function class_activation.write_enrolled_at(bigint, integer[], timestamptz, integer) from public;

comment on function class_activation.write_enrolled_at(bigint, integer[], timestamptz, integer) is
'Gives the pending enrollments of p_class_ids p_enrolled_at in the name of p_author, and returns, for each class that
has any, what stands in them then, with p_run_id. Errors: 55000 an enrollment did not take the update.';
