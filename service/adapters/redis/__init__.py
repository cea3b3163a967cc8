"""Redis: streams that distribute work, locks that spare it, and keys and rates that all nodes share.

Everything in Redis may be emptied at any moment: it is found again from the rows in PostgreSQL. The keys are

| key | type | written by |
| --- | --- | --- |
| `heyday:plan`, `heyday:due`, `heyday:delivery`, `heyday:dead` | stream | `streams.py` |
| `heyday:lock:{name}`, `heyday:lock:{name}:fence` | string | `locks.py` |
| `heyday:dedupe:<YYYY-MM-DD>` | set | `accepted.py` |
| `heyday:rate:<name>` | string | `rate.py` |
"""
