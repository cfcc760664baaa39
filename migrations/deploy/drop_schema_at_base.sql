-- After a downgrade to base, or a first install that failed, nothing of the schema is left but
-- Alembic's empty version table: it goes too.

do $do$
begin
  if to_regclass('class_activation.alembic_version') is not null then
    if exists (select from class_activation.alembic_version) then
      return;
    end if;
    drop table class_activation.alembic_version;
  end if;
  drop schema if exists class_activation;
end;
$do$;
