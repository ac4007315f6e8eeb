"""Tables with one row a step: CSV and parquet files, and data frames."""
