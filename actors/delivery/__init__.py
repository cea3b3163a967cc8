"""Delivery: the consumer takes bundles, senders claim and send them, and the result writer records the outcomes."""
