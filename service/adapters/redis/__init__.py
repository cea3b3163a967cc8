"""Redis: streams that distribute work, locks that avoid double work, and keys and rates that all nodes share.

PostgreSQL is the only truth: Redis may be emptied at any moment, and the work is found again from the rows. The keys:

| key | type | written by |
| --- | --- | --- |
| `heyday:plan`, `heyday:due`, `heyday:delivery`, `heyday:dead` | stream | `streams.py` |
| `heyday:lock:{name}`, `heyday:lock:{name}:fence` | string | `locks.py` |
| `heyday:dedupe:<YYYY-MM-DD>` | set | `accepted.py` |
| `heyday:rate:<name>` | string | `rate.py` |
| `heyday:rate:<name>:limit` | hash | `rate.py` |
| `heyday:requests:<client>` | string | `request_rate.py` |
| `heyday:cluster`, `heyday:cluster:in-use` | string | `cluster.py` |
| `heyday:watch:text:<name>`, `heyday:watch:turn:<name>`, `heyday:watch:node:<node>` | string | `snapshots.py` |
"""
