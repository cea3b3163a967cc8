"""Answers as Grafana's health check does, and nothing else: Debian has no Grafana."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Health(BaseHTTPRequestHandler):
    """`GET /api/health`."""

    def do_GET(self) -> None:  # the name that the library calls
        body = b'{"database":"ok","version":"stand-in"}'
        self.send_response(200 if self.path == "/api/health" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("", 3000), Health).serve_forever()
