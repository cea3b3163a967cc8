"""`heyday doctor`: checks every dependency of a node, adopts a restored database, compares ledgers."""
