-- The platform's own history tells whether somebody has decided anew: any other edit of the class
-- (its capacity, its name) leaves it held back.
create function class_activation.is_held_back(p_class_id integer)
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
begin
  return exists (
    select
    from class_activation.held_back b
    where b.class_id = p_class_id
      and not exists (
        select
        from public.program_classes_history h
        where h.id > b.history_id
          and h.table_name = 'program_classes'
          and h.parent_ref_id = b.class_id
          and (h.before_update ->> 'status', h.before_update ->> 'start_dt')
            is distinct from (h.after_update ->> 'status', h.after_update ->> 'start_dt')
      )
  );
end;
$function$;

revoke execute on function class_activation.is_held_back(integer) from public;

comment on function class_activation.is_held_back(integer) is
'Whether revert took the class back and neither its start date nor its status has been changed since.';
