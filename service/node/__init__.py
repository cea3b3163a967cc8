"""The present knowledge of one running node: its lease, clock, outages, secrets and the identity of its database."""
