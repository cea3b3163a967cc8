"""Private servers on loopback, from Python wheels or from installed programs.

Each server keeps all its files in one directory and never runs as root. On Linux it ends with the process that started
it. Elsewhere the next start finds and ends it.
"""
