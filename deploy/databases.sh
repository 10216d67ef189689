#!/bin/sh
# Run once by a superuser of a new Postgres: the owner of the study, and MLflow, each with a database of its own.
# The passwords come from the environment, so that no list of processes shows them.
set -eu
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --dbname postgres <<'END'
\getenv owner_password OWNER_PASSWORD
\getenv mlflow_password MLFLOW_DB_PASSWORD
CREATE ROLE owner LOGIN CREATEROLE PASSWORD :'owner_password';
CREATE ROLE mlflow LOGIN PASSWORD :'mlflow_password';
CREATE DATABASE study OWNER owner ENCODING 'UTF8' TEMPLATE template0;
CREATE DATABASE mlflow OWNER mlflow ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE study, mlflow, postgres FROM PUBLIC;
END
