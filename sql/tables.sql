-- \d+ shows these comments. The revisions that create the tables are in migrations/versions.
comment on table class_activation.runs is
  'One row for each call by hand and each tick that found something to do, and for each revert; kept for 90 days.';
comment on sequence class_activation.runs_id_seq is 'For class_activation.runs.id.';
comment on index class_activation.runs_started_at_idx is 'For health and doctor: the last run. For tick: those to prune.';
comment on column class_activation.runs.as_of is 'p_as_of of the call';
comment on column class_activation.runs.not_before is 'p_not_before of the call, or the hour of settings';
comment on column class_activation.runs.called_by is 'session_user of the call';
comment on column class_activation.runs.enrollments_backfilled is 'including late enrollments of earlier activations';
comment on column class_activation.runs.classes_failed is 'not activated or backfilled, for the reason in problems';
comment on column class_activation.runs.classes_skipped is 'locked by another session: left to the next run';
comment on column class_activation.runs.classes_left is 'not tried, because a timeout was near: left to the next run';
comment on column class_activation.runs.reverts is 'of a revert: the run that it reverted';

comment on table class_activation.activations is
  'The audit trail: one row for each class that a run made Active. Never pruned.';
comment on index class_activation.activations_activated_at_idx is 'For the job and health: the last 24 hours.';
comment on index class_activation.activations_class_id_idx is 'For late enrollments of a class.';
comment on column class_activation.activations.class_id is 'id of the cohort, once the platform has cohorts';
comment on column class_activation.activations.due_at is 'when the class became due at its facility';
comment on column class_activation.activations.activated_at is 'time of the transaction';
comment on column class_activation.activations.enrollments_backfilled is 'including late enrollments, of later runs';
comment on column class_activation.activations.reverted_by is 'the run of class_activation.revert that reverted it';
comment on column class_activation.activations.enrollment_ids is 'the enrollments that were backfilled';
comment on column class_activation.activations.enrolled_at_values is
  'the values stored in these enrollments; revert detects later changes by these and the next two';
comment on column class_activation.activations.updated_at_values is 'those stored in the class and these enrollments';
comment on column class_activation.activations.update_user_ids is 'those stored in the class and these enrollments';

comment on table class_activation.problems is
  'One row for each class that could not be activated or backfilled, until it is, or is no longer due.';
comment on column class_activation.problems.last_seen_at is 'when the class was last tried, or its message changed';
comment on column class_activation.problems.attempts is 'how often the class was tried';
comment on column class_activation.problems.sqlstate is
  'that of the error; 22023: PostgreSQL does not know the time zone of the facility; 22008: the start date is out of range';

comment on table class_activation.holds is
  'Reverted classes, which are not activated again until their start date or status changes or release() is called.';
comment on column class_activation.holds.run_id is 'the run that reverted the class';
comment on column class_activation.holds.history_id is 'the newest id of program_classes_history at the time of the revert';
comment on column class_activation.holds.start_dt is 'the start date of the class at the time of the revert';
comment on column class_activation.holds.status is 'the status of the class after the revert';

comment on table class_activation.settings is 'One row, written by schedule, unschedule, pause, resume and alembic -x.';
comment on column class_activation.settings.schedule is 'when pg_cron calls the job: a cron expression in GMT';
comment on column class_activation.settings.not_before is 'local time at which a class becomes Active on its start date';
comment on column class_activation.settings.paused_until is 'infinity: until class_activation.resume() is called';
comment on column class_activation.settings.cron_database is 'the database in which pg_cron keeps the job; null: none';
comment on column class_activation.settings.job_database is 'the database for which the pg_cron job was created';
comment on column class_activation.settings.job_username is 'the role as which the pg_cron job was created';
comment on column class_activation.settings.scheduled_at is 'when the job was last scheduled or unscheduled';

comment on table class_activation.ticks is 'The heartbeat: when pg_cron called class_activation.tick(). Kept for 7 days.';
comment on column class_activation.ticks.ticked_at is 'start of the transaction of the tick';
comment on table class_activation.installed_objects is
  'The objects as the last deployment left them; doctor and the next deployment compare them with the existing ones.';
comment on column class_activation.installed_objects.definition is 'a hash, see class_activation_internal.objects()';
comment on table class_activation.alembic_version is 'The revision that is installed: a release of class activation.';
