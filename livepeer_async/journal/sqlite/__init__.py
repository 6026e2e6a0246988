"""The journal as an SQLite file, which the processes of one machine share."""
