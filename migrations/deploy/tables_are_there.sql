-- What the revision says is there must be there: alembic stamp only writes the revision.
do $do$
begin
  if to_regclass('class_activation.alembic_version') is null or to_regclass('class_activation.runs') is not null then
    return;
  elsif exists (select from class_activation.alembic_version) then
    raise exception using
      errcode = '55000',
      message = format('database %I has a revision of class activation, but none of its tables', current_database())
        || ': was it written by alembic stamp?',
      hint = 'delete from class_activation.alembic_version; -- then: alembic upgrade head';
  end if;
end;
$do$;
