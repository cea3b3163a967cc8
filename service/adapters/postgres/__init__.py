"""PostgreSQL, the only truth. Each module runs the SQL of the file with its name."""
