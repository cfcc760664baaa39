ARG DEBIAN=trixie
# for the deployment image; it may be your own Debian 13, with your certificates and /etc/pip.conf
ARG BASE=debian:trixie-slim

# The server that SERVER=docker runs on: PostgreSQL with pg_cron, plpgsql_check to check the functions, and
# libfaketime to fake the clock. tools/with-postgres chooses the version and a Debian release that has it.
FROM debian:$DEBIAN-slim AS server
ARG VERSION=17

# a mirror may lag, and the package lists of a future release expire after a week
RUN apt-get update --option=Acquire::Check-Valid-Until=false \
  && apt-get install --yes --no-install-recommends \
    libfaketime postgresql-$VERSION postgresql-$VERSION-cron postgresql-$VERSION-plpgsql-check \
  && rm -rf /var/lib/apt/lists/*

USER postgres
ENV PATH=/usr/lib/postgresql/$VERSION/bin:$PATH PGDATA=/var/lib/postgresql/throwaway
EXPOSE 5432
HEALTHCHECK --interval=1s --timeout=5s --retries=60 CMD pg_isready --quiet --host=127.0.0.1

# PGPASSWORD is passed at run time. The container lives until its standard input closes, so it ends with the
# process that started it, even if that is killed. Its server may be stopped, killed and restarted.
CMD ["bash", "-euc", "\
  initdb --username=postgres --encoding=UTF8 --locale=C.UTF-8 --auth=scram-sha-256 --pwfile=<(echo \"$PGPASSWORD\") \
    --set listen_addresses='*' --set shared_preload_libraries=pg_cron \
    --set cron.database_name=postgres --set cron.use_background_workers=on >/dev/null; \
  echo 'host all all all scram-sha-256' >>$PGDATA/pg_hba.conf; \
  pg_ctl start --log=$PGDATA/server.log <&- >/dev/null; \
  cat >/dev/null; pg_ctl stop --mode=immediate"]

# Only what a deployment needs:
#   docker build --target deploy -t class-activation .
#   docker run --rm -e DATABASE_URL class-activation upgrade head
FROM $BASE AS packages
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates python3-pip python3-venv
WORKDIR /class-activation
COPY README.md constraints.txt pyproject.toml ./
RUN python3 -m venv --without-pip /opt/venv \
  && pip --python /opt/venv/bin/python install --no-cache-dir --constraint constraints.txt .

FROM $BASE AS deploy
RUN apt-get update \
  && apt-get install --yes --no-install-recommends python3 \
  && apt-get clean && rm -rf /var/lib/apt/lists/*
WORKDIR /class-activation
COPY --from=packages /opt/venv /opt/venv
COPY alembic.ini ./
COPY migrations migrations
COPY sql sql
# nobody, as a number for runAsNonRoot in Kubernetes
USER 65534
ENTRYPOINT ["/opt/venv/bin/alembic"]

# without --target
FROM server
