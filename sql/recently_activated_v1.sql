-- The only Active classes that the job ever touches: those that it activated itself, a day ago at
-- most. An application that had read 'Scheduled' just before may have enrolled somebody since,
-- without an enrolled_at.
create function class_activation.recently_activated(p_class_ids integer[] default null)
returns setof integer
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
begin
  return query
  select c.id
  from public.program_classes c
  where c.id = any (array(
      select a.class_id
      from class_activation.activations a
      where a.activated_at > now() - interval '24 hours'
        and (p_class_ids is null or a.class_id = any (p_class_ids))
    ))
    and c.status = 'Active'
    and num_nulls(c.archived_at, c.deleted_at) = 2;
end;
$function$;

revoke execute on function class_activation.recently_activated(integer[]) from public;

comment on function class_activation.recently_activated(integer[]) is
'The classes (of p_class_ids, or all) that the job activated in the last 24 hours and that are still
Active, not archived and not deleted.';
