r"""The journal on PostgreSQL, which several machines share.

    async with AsyncLivepeer(journal="postgresql://livepeer@db.example/videos") as livepeer:
        ...

`pip install "livepeer-async[postgres]"` brings psycopg, which also reads `PGPASSWORD`, `~/.pgpass`,
`PGSERVICE` and `PGSSLMODE`. The database is on the primary of PostgreSQL 12 or newer, and has the
encoding UTF8. Each client holds one connection to it.

# Claims

A claim makes one process the only writer of an upload. It ends with its process, and not by the
clock: each open journal holds an advisory lock of its session, which PostgreSQL releases with the
session.

- The holder asks for a sign of life every 5 s. If none has come for 15 s, on a clock that runs
  while a machine sleeps, it stops all transfers within 2 s and sends nothing.
- PostgreSQL keeps the session of a machine that it can't reach for at least 40 s.
- A process that finds the lock released waits for another 20 s, because a broken connection may
  reach PostgreSQL before the holder notices. If the holder ran on the same machine and has ended,
  it doesn't wait.
- After a restart of PostgreSQL, or another loss of the session, the holder stops, connects again,
  takes its own claims over unless another process has them by now, and goes on from the offset that
  the server reports.

Calls wait for a database that doesn't respond: for 60 s, or for `RetryPolicy(busy_timeout=)` if
that is longer. Then they raise `JournalUnavailable`.

Session locks don't work through a pooler that gives each transaction another session, such as
PgBouncer with `pool_mode = transaction`. It is recognised and refused. With `pool_mode = session`,
the pool must be larger by two than the number of processes.

# Shared limits

Clients with the same API key, base URL and database share more than claims. Each opens its session
on entering the client's block, so a web app that uploads nothing also takes part.

- A 429 or 503 that one client meets pauses the requests of all. After the pause, one client of all
  sends a probe. If it succeeds, all send again at once; if it is refused, the pause of all is
  extended. A probe whose process is killed is replaced at once, one without a response after 10 s.
- `--max-rate` and `livepeer.throttle.max_rate` are the total of the clients that have one: give
  each the same. Each takes the total divided by the number of these clients, but at least 64 KiB/s.
  A client that comes or leaves changes the shares at once, a killed one within 5 s. A client
  without a rate isn't counted and isn't limited. `throttle.rate_share` is the share of a client.
- `livepeer.unfinished()`, `leftovers()` and `clean_up()` find what any of them left. An upload
  without a key whose process was on another machine is a leftover 10 minutes after its session was
  found lost. A request with a lost response is found by its time: clocks must agree within 2 s.
- Concurrency is each client's own, because the network connection is the machine's.

While PostgreSQL can't be reached, each client has its own pauses and probes by itself, and keeps
its last share of the rate.

# Release

Some servers and proxies keep the session of a process that is gone, and so its claims.
`livepeer-async journal release --journal URL` lists the owners of claims, and with the number of
one before `--journal`, it ends that session. The role must be that of the session, a superuser or
a member of `pg_signal_backend`. If the process still runs, it connects again and goes on.

# Rights

The tables are in the schema `livepeer_async`. The first client creates it, and needs `CREATE` on
the database for this. With less, an administrator runs this in psql:

    CREATE DATABASE videos;
    \connect videos
    CREATE ROLE livepeer LOGIN PASSWORD '...';
    CREATE SCHEMA livepeer_async AUTHORIZATION livepeer;

Once the tables exist, `USAGE` on the schema and `SELECT, INSERT, UPDATE, DELETE` on its tables are
enough. They give access to the rows of all accounts: use a database for each, if their users
mustn't see those of others.

# Secrets

The records hold the upload URLs of unfinished uploads, each of which permits writing that upload.
Administrators of the database, its backups and its replicas can read them, and the names, keys and
asset IDs of all uploads; readers of its log can, if it logs statements. API keys, encryption keys
and webhook contexts aren't stored. Use TLS (`?sslmode=verify-full&sslrootcert=...`) beyond one
machine: without it, the network sees the same.

After an older backup is restored, uploads that ended since then are unknown, and run again if they
are asked for. Restore it while no client runs.
"""
