do $do$
begin
  if to_regprocedure('class_activation.scheduled_classes(timestamptz, time, integer[], date)') is not null then
    raise exception using
      errcode = '55000',
      message = 'the functions of release 0.1.0 are installed, which this release does not remove by itself',
      hint = 'Nothing was changed. First run alembic upgrade head, then repeat the downgrade.';
  end if;
end;
$do$;
