-- Replaces what the role or the database has set, until the transaction ends: nothing stays in a pooled session.
set local statement_timeout = 0;
set local idle_in_transaction_session_timeout = 0;
set local client_encoding = 'UTF8';
set local quote_all_identifiers = off;
set local standard_conforming_strings = on;
-- nothing planted in another schema is found by name
set local search_path = pg_catalog, pg_temp;
-- a lock that a busy table does not yield is an error, not a queue for all other sessions
set local lock_timeout = '4s';
