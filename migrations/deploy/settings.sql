-- Override those of the role or the database until the transaction ends; nothing stays in a pooled session.
set local statement_timeout = 0;
set local idle_in_transaction_session_timeout = 0;
set local client_encoding = 'UTF8';
set local quote_all_identifiers = off;
set local standard_conforming_strings = on;
-- nothing planted in another schema is found by name
set local search_path = pg_catalog, pg_temp;
-- while this waits for a lock, other sessions queue behind it
set local lock_timeout = '4s';
