-- After this the shape cannot change before the transaction ends. A restructuring that was being committed is
-- waited for, and its shape is taken.
create or replace function class_activation.lock_platform()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set row_security = off
as $function$
declare
  v_label text;
begin
  loop
    v_label := (class_activation.platform()).label;
    execute format('lock table public.%I in access share mode', v_label);
    exit when (class_activation.platform()).label = v_label;
  end loop;
  -- if policies hide enrollments, that is no problem of one class
  perform from public.program_class_enrollments where false;
end;
$function$;

revoke execute on function class_activation.lock_platform() from public;

comment on function class_activation.lock_platform() is
'Keeps the platform in its present shape until the transaction ends. Errors: 55P03 its table is locked for longer
than lock_timeout; 42501 row security hides enrollments.';
