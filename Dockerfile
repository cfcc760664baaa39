# The server that SERVER=docker runs on: PostgreSQL with pg_cron, plpgsql_check to read our functions, and
# libfaketime to move its clock. tools/with-postgres chooses the version and the Debian that has it.
ARG DEBIAN=trixie
FROM debian:$DEBIAN-slim
ARG VERSION=17

# a mirror may be behind, and packages of a release to come are signed for a week only
RUN apt-get update --option=Acquire::Check-Valid-Until=false \
  && apt-get install --yes --no-install-recommends \
    libfaketime postgresql-$VERSION postgresql-$VERSION-cron postgresql-$VERSION-plpgsql-check \
  && rm -rf /var/lib/apt/lists/*

USER postgres
ENV PATH=/usr/lib/postgresql/$VERSION/bin:$PATH PGDATA=/var/lib/postgresql/throwaway
EXPOSE 5432
HEALTHCHECK --interval=1s --timeout=5s --retries=60 CMD pg_isready --quiet --host=127.0.0.1

# PGPASSWORD is given at run time. The container lives as long as its standard input is open, so it ends
# with the process that started it, however that ended; the server in it may be stopped, killed and started.
CMD ["bash", "-euc", "\
  initdb --username=postgres --encoding=UTF8 --locale=C.UTF-8 --auth=scram-sha-256 --pwfile=<(echo \"$PGPASSWORD\") \
    --set listen_addresses='*' --set shared_preload_libraries=pg_cron \
    --set cron.database_name=postgres --set cron.use_background_workers=on >/dev/null; \
  echo 'host all all all scram-sha-256' >>$PGDATA/pg_hba.conf; \
  pg_ctl start --log=$PGDATA/server.log <&- >/dev/null; \
  cat >/dev/null; pg_ctl stop --mode=immediate"]
