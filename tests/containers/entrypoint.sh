#!/bin/sh
# Runs a command with the secrets that are mounted as files: `inspect` shows the variables that a
# compose file sets.
set -eu

folder=${SECRETS_FOLDER:-/run/secrets}
if [ -e "$folder/livepeer_api_key" ]; then
    LIVEPEER_API_KEY=$(cat "$folder/livepeer_api_key")
    export LIVEPEER_API_KEY
fi
if [ -e "$folder/postgres_password" ]; then
    PGPASSWORD=$(cat "$folder/postgres_password")
    export PGPASSWORD
fi
exec "$@"
