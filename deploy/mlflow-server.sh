#!/bin/sh
# Starts the MLflow server: compose.yaml and plain.sh run it, with their settings in the environment.
# Runs and users are in Postgres, artifacts in a bucket; whoever asks needs a name and a password.
set -eu
state=${MLFLOW_STATE:?}
umask 077
mkdir -p "$state"
# libpq reads PGHOST, PGPORT and PGPASSWORD, so that no password is in an address.
database=postgresql+psycopg://mlflow@/mlflow
cat >"$state/auth.ini" <<END
[mlflow]
default_permission = MANAGE
database_uri = $database
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
END
export MLFLOW_AUTH_CONFIG_PATH="$state/auth.ini"

python - <<'END'
"""Makes the bucket unless it is there; the store may need a moment to answer."""
import os, time
import boto3
from botocore.exceptions import BotoCoreError, ClientError

bucket, store = os.environ["S3_BUCKET"], boto3.client("s3", endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"])
for attempt in range(30):
    try:
        if bucket not in [found["Name"] for found in store.list_buckets()["Buckets"]]:
            store.create_bucket(Bucket=bucket)
        break
    except (BotoCoreError, ClientError) as error:
        if attempt == 29:
            raise SystemExit(f"error: the store does not answer: {error}")
        time.sleep(2)
END

if [ -n "${TLS_CERT:-}" ]; then
    set -- --uvicorn-opts "--ssl-certfile=$TLS_CERT --ssl-keyfile=${TLS_KEY:?}"
fi
cd "$state"
exec python -m mlflow server --host 0.0.0.0 --port "${MLFLOW_PORT:?}" --workers 2 --app-name basic-auth \
    --backend-store-uri "$database" --artifacts-destination "s3://${S3_BUCKET:?}/artifacts" "$@"
