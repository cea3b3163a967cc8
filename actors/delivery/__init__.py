"""The way out: the intake takes bundles, senders claim and send them, the recorder writes what came of it."""
