#!/bin/sh
# Writes the settings of a team's server, with new passwords, into FOLDER/team.env, which its owner alone can read.
#   deploy/new-team.sh FOLDER NAME
# NAME is how every host, and the server itself, reaches the server: team.lab, not localhost.
set -eu
folder=${1:?usage: deploy/new-team.sh FOLDER NAME}
name=${2:?usage: deploy/new-team.sh FOLDER NAME}
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

mkdir -p "$folder"
umask 077
if [ -e "$folder/team.env" ]; then
    echo "error: $folder/team.env is there already; its passwords are those of a server" >&2
    exit 1
fi
cat >"$folder/team.env" <<END
TEAM_HOST=$name
POSTGRES_PORT=5432
MLFLOW_PORT=5000
S3_PORT=9000
S3_BUCKET=vlmprobe
POSTGRES_PASSWORD=$(random)
OWNER_PASSWORD=$(random)
MLFLOW_DB_PASSWORD=$(random)
MLFLOW_ADMIN_PASSWORD=$(random)
MLFLOW_SECRET_KEY=$(random)
S3_ACCESS_KEY=$(random)
S3_SECRET_KEY=$(random)
END
echo "$folder/team.env"
