"""PostgreSQL, the only truth: each module runs the SQL of the file that bears its name."""
