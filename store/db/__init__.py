"""The database: engine, SQL, rows and migrations. Nothing here knows what a row means."""
