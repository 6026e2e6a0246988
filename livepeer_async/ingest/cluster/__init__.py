"""An ingestion on several machines: Dask hands out the rows, the journal holds the truth."""
