-- A build that failed leaves an invalid index behind, so each attempt begins by dropping it. Plain columns, no
-- predicate: a predicate on status would block the platform's own changes of its type.
select 'drop index concurrently public.class_activation_due_idx'
where pg_catalog.to_regclass('public.class_activation_due_idx') is not null
\gexec

select pg_catalog.format('create index concurrently class_activation_due_idx on %s (status, start_dt)',
  coalesce(pg_catalog.to_regclass('public.program_class_cohorts'), pg_catalog.to_regclass('public.program_classes')))
\gexec
