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
  select distinct c.id
  from class_activation.activations a
  cross join lateral (
    select c.id
    from public.program_classes c
    where c.id = a.class_id
      and c.status = 'Active'
      and num_nulls(c.archived_at, c.deleted_at) = 2
    offset 0  -- ask only for those classes, do not look for the Active ones
  ) c
  where a.activated_at > now() - interval '24 hours'
    and a.reverted_by is null
    -- not "= any", which would look through the array for each activation of the day
    and (p_class_ids is null or a.class_id in (select unnest(p_class_ids)));
end;
$function$;

revoke execute on function class_activation.recently_activated(integer[]) from public;

comment on function class_activation.recently_activated(integer[]) is
'The classes (of p_class_ids, or all) that the job activated in the last 24 hours and that are still
Active, not archived and not deleted.';
