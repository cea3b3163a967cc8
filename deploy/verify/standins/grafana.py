"""Answers as Grafana's health check does, and nothing else: Debian has no Grafana."""

import os
import ssl
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Health(BaseHTTPRequestHandler):
    """`GET /api/health`."""

    def do_GET(self) -> None:  # the name is given by http.server
        body = b'{"database":"ok","version":"stand-in"}'
        self.send_response(200 if self.path == "/api/health" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = ThreadingHTTPServer(("", 3000), Health)
if os.environ.get("GF_SERVER_PROTOCOL") == "https":
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.environ["GF_SERVER_CERT_FILE"], os.environ["GF_SERVER_CERT_KEY"])
    server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
