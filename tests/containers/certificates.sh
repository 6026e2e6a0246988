#!/bin/sh
# Creates the secrets of compose.yaml: a certificate authority, one certificate for PostgreSQL, the
# coordinator and the workers, a password, and a key for the sandbox.
#
#     sh tests/containers/certificates.sh tests/containers/secrets
#
# The certificate's key is enough to run code on all workers. Files that exist are kept.
set -eu
umask 077

mkdir -p "$1"
cd "$1"
if [ ! -e tls_key ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 \
        -subj "/CN=livepeer-async authority" -keyout authority_key -out tls_ca
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
        -subj "/CN=livepeer-async" -keyout tls_key -out request
    names="DNS:postgres,DNS:coordinator,DNS:localhost,IP:127.0.0.1"
    printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$names" > extensions
    openssl x509 -req -days 365 -in request -CA tls_ca -CAkey authority_key -CAcreateserial \
        -extfile extensions -out tls_cert
    # Without its key, the authority issues no further certificates.
    rm -f authority_key request extensions tls_ca.srl
fi
[ -e postgres_password ] || openssl rand -hex 24 > postgres_password
[ -e livepeer_api_key ] || openssl rand -hex 16 > livepeer_api_key
