#!/bin/bash
# What compose.yaml starts, by plain commands: all of it in one folder, until Ctrl-C.
#   deploy/new-team.sh FOLDER NAME
#   deploy/plain.sh FOLDER
# It needs Postgres (Debian: apt-get install postgresql), versitygw, and a Python with
#   pip install 'mlflow[auth]' 'psycopg[binary]' boto3
# A store that is there already is used instead of versitygw: S3_ENDPOINT=https://s3.lab in team.env.
# With TLS_CERT and TLS_KEY in team.env, PEM files by their whole paths, everything is served by TLS.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(cd "${1:?usage: deploy/plain.sh FOLDER}" && pwd)
# Nothing but our own lines: names and values without spaces.
. "$folder/team.env"
PATH=$PATH:$(echo /usr/lib/postgresql/*/bin | tr ' ' :)
scheme=http postgres_tls=() s3_tls=()
if [ -n "${TLS_CERT:-}" ]; then
    scheme=https
    postgres_tls=(-c ssl=on -c "ssl_cert_file=$TLS_CERT" -c "ssl_key_file=$TLS_KEY")
    s3_tls=(--cert "$TLS_CERT" --key "$TLS_KEY")
fi

# Postgres refuses to run as root.
as_postgres() {
    if [ "$(id -u)" = 0 ]; then
        exec setpriv --reuid postgres --regid postgres --init-groups -- "$@"
    else
        exec "$@"
    fi
}
started=()
end() {
    trap - EXIT
    for process in "${started[@]}"; do kill "$process" 2>/dev/null || true; done
    # Sessions that are open would keep it from stopping.
    if [ -e "$folder/postgres/postmaster.pid" ]; then
        (as_postgres pg_ctl --pgdata "$folder/postgres" --mode fast stop) >>"$folder/postgres.log" 2>&1 || true
    fi
    wait
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# Wait until a command succeeds, for as long as what it waits for is running.
until_up() {
    local process=$1
    shift
    until "$@" >>"$folder/start.log" 2>&1; do
        kill -0 "$process" 2>/dev/null || { echo "error: see the logs in $folder" >&2; exit 1; }
        sleep 0.5
    done
}

# --- postgres
data=$folder/postgres
is_new=$([ -e "$data/PG_VERSION" ] || echo yes)
if [ -n "$is_new" ]; then
    mkdir -p "$data"
    if [ "$(id -u)" = 0 ]; then chown postgres "$data"; fi
    (as_postgres initdb --pgdata "$data" --encoding UTF8 --auth-local peer --auth-host scram-sha-256) \
        >"$folder/initdb.log"
    echo "host all all all scram-sha-256" >>"$data/pg_hba.conf"
fi
(as_postgres postgres -D "$data" -p "$POSTGRES_PORT" -k "$data" -c "listen_addresses=*" "${postgres_tls[@]}") \
    >>"$folder/postgres.log" 2>&1 &
started+=($!)
until_up $! pg_isready --host "$data" --port "$POSTGRES_PORT"
if [ -n "$is_new" ]; then
    (
        export PGHOST=$data PGPORT=$POSTGRES_PORT
        export OWNER_PASSWORD MLFLOW_DB_PASSWORD
        as_postgres sh "$here/databases.sh"
    )
fi

# --- s3
if [ -z "${S3_ENDPOINT:-}" ]; then
    mkdir -p "$folder/s3"
    (
        export ROOT_ACCESS_KEY=$S3_ACCESS_KEY ROOT_SECRET_KEY=$S3_SECRET_KEY
        exec versitygw --port ":$S3_PORT" "${s3_tls[@]}" posix "$folder/s3"
    ) >>"$folder/s3.log" 2>&1 &
    started+=($!)
fi

# --- mlflow
(
    export PGHOST=127.0.0.1 PGPORT=$POSTGRES_PORT PGPASSWORD=$MLFLOW_DB_PASSWORD
    export AWS_ACCESS_KEY_ID=$S3_ACCESS_KEY AWS_SECRET_ACCESS_KEY=$S3_SECRET_KEY AWS_DEFAULT_REGION=us-east-1
    export MLFLOW_S3_ENDPOINT_URL=${S3_ENDPOINT:-$scheme://$TEAM_HOST:$S3_PORT} S3_BUCKET
    export MLFLOW_PORT MLFLOW_STATE=$folder/mlflow
    export MLFLOW_AUTH_ADMIN_USERNAME=admin MLFLOW_AUTH_ADMIN_PASSWORD=$MLFLOW_ADMIN_PASSWORD
    export MLFLOW_FLASK_SERVER_SECRET_KEY=$MLFLOW_SECRET_KEY
    export MLFLOW_SERVER_ALLOWED_HOSTS=$TEAM_HOST:$MLFLOW_PORT,127.0.0.1:$MLFLOW_PORT
    export MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
    export TLS_CERT TLS_KEY
    exec sh "$here/mlflow-server.sh"
) >>"$folder/mlflow.log" 2>&1 &
started+=($!)
until_up $! python -c "
import ssl, urllib.request
urllib.request.urlopen('$scheme://127.0.0.1:$MLFLOW_PORT/health', context=ssl._create_unverified_context())"

echo "postgresql://owner@$TEAM_HOST:$POSTGRES_PORT/study"
echo "$scheme://$TEAM_HOST:$MLFLOW_PORT"
wait -n "${started[@]}" || true
echo "error: one of the servers ended; see the logs in $folder" >&2
exit 1
