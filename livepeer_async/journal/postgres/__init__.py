"""The journal on PostgreSQL, which several machines share.

    async with AsyncLivepeer(journal="postgresql://livepeer@db.example/videos") as livepeer:
        ...

`pip install "livepeer-async[postgres]"` brings psycopg, which also reads `PGPASSWORD`, `~/.pgpass`,
`PGSERVICE` and `PGSSLMODE`.

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

Session locks don't work through a pooler that gives each transaction another session, such as
PgBouncer with `pool_mode = transaction`. It is recognised and refused.

# Rights

The tables are in the schema `livepeer_async`. The first client creates it, and needs `CREATE` on
the database for this. With less:

    CREATE ROLE livepeer LOGIN PASSWORD '...';
    CREATE SCHEMA livepeer_async AUTHORIZATION livepeer;

Once the tables exist, `USAGE` on the schema and `SELECT, INSERT, UPDATE, DELETE` on its tables are
enough.

# Secrets

The records hold the upload URLs of unfinished uploads, each of which permits writing that upload.
Administrators of the database, its backups and its replicas can read them, and the names, keys and
asset IDs of all uploads. API keys, encryption keys and webhook contexts aren't stored. Use TLS
(`?sslmode=verify-full&sslrootcert=...`) beyond one machine: without it, the network sees the same.
"""
