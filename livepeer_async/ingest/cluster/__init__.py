r"""Several machines: Dask hands out the rows of an ingestion, and the journal holds the truth.

The coordinator reads the manifest, hands out batches of rows and writes the report; it uploads
nothing. Workers upload, with the API key of their own environment. All of them use one journal, on
PostgreSQL or, on one machine, in a file. The extra `cluster` installs what is needed.

More machines help if files are spread over them, or if the account's quota was raised: by default,
an account processes 5 videos at once and holds 100 in its queue, and an ingestion that waits for
the queue says so. Two to four machines need no cluster: the same `ingest` command with one
journal on PostgreSQL, started on each, shares a manifest.

# From the shell

To try it on one machine, with processes that end with the command:

    livepeer-async ingest shows/ --workers 4

On several machines, the scheduler runs in the coordinator, and workers join it. A worker waits for
the next ingestion at the same address until Ctrl-C:

    livepeer-async ingest shows.csv --listen 10.0.0.5:8786 --journal postgresql://db/livepeer \
        --tls-ca ca.pem --tls-cert coordinator.pem --tls-key coordinator.key
    livepeer-async worker 10.0.0.5:8786 \
        --tls-ca ca.pem --tls-cert worker.pem --tls-key worker.key    # on the others

An existing Dask cluster is `--cluster tls://10.0.0.5:8786`; its scheduler and workers need the same
versions of livepeer-async and Dask.

# In Python

    from distributed import Client

    async with Client("tls://10.0.0.5:8786", security=security, asynchronous=True) as client:
        async with ingest(livepeer, "shows.csv", cluster=client) as events:
            ...

# Workers

- `LIVEPEER_API_KEY` and `LIVEPEER_BASE_URL` come from the worker's environment, and never from
  Dask. The account must be the coordinator's.
- The journal is `LIVEPEER_JOURNAL` of the worker, or else the coordinator's, whose password isn't
  sent: set `PGPASSWORD` or `~/.pgpass`. A worker with another database is refused: nothing else
  keeps two workers from uploading the same file.
- Files need the same absolute path on each machine that has them. A row whose file isn't on a
  worker is tried on the other hosts. URLs need `relay=True` only if Livepeer can't fetch them.
- `concurrency` counts in each process; `max_rate` is divided between them.
- Each thread of a worker runs a batch of up to 64 rows; the batches share the process's slots.
- A worker of another version, with another account's key, or without the journal gets no rows; a
  `Notice` and the worker say why. Without any usable worker, the run ends with `ClusterError`.
- A worker whose database doesn't respond, or that has no free file descriptor, gets no rows until
  it can be used again; a run without any other worker waits.

# Interruptions

A row that is given out twice is uploaded once: its claim in the journal decides, never Dask.

    Found                                   Result
    --------------------------------------  --------------------------------------------------------
    killed worker, lost machine             its rows go to the others, which resume the uploads
    killed coordinator                      its workers end their uploads within seconds; the same
                                            command goes on
    lost scheduler                          ClusterError; workers end their uploads, and wait for
                                            the next one
    Ctrl-C, `Ingestion.stop()`              workers finish the chunks in flight
    second Ctrl-C, leaving the block        workers cancel at once
    no worker                               a Notice, and the run waits
    file on no host                         the row fails, and the message names the hosts

# Security

The scheduler and each client can run code on the workers. Beyond this machine, the commands insist
on mutual TLS, unless `--insecure` is given. On a machine with other users, those can connect to a
scheduler on 127.0.0.1 too. Rows, which may hold signed URLs, appear in no key, log or page of Dask.

# Certificates

Each process shows a certificate of one authority, and accepts any other of it; names aren't
compared. Use an authority of the cluster's own, not the company's: a certificate of it permits
running code on the workers. Keep `ca.key` off the machines, and copy to each of them `ca.pem` and
its own pair:

    openssl req -x509 -newkey rsa:3072 -nodes -days 365 -subj "/CN=videos" \
        -keyout ca.key -out ca.pem
    for name in coordinator worker; do
        openssl req -new -newkey rsa:3072 -nodes -subj "/CN=$name" -keyout $name.key -out $name.csr
        openssl x509 -req -days 365 -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial \
            -out $name.pem
    done
"""
