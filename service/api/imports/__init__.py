"""The parts of an import of users: lines in, rows checked, rows stored or updated."""
