"""What mends what a proxy does wrong: the very lines, for the proxy that seems to be there."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mend:
    nginx: str
    caddy: str
    other: str

    def for_server(self, server: str) -> str:
        """``server``: the header Server of its answers, which may say anything."""
        known = server.lower()
        if "nginx" in known or "openresty" in known:
            return f"nginx: {self.nginx}"
        if "caddy" in known:
            return f"Caddy: {self.caddy}"
        return f"{self.other} nginx: {self.nginx} Caddy: {self.caddy}"


REQUESTS_STREAM = Mend(
    "`proxy_request_buffering off;` and `proxy_http_version 1.1;` in the location.",
    "take `request_buffers` and `buffer_requests` out of `reverse_proxy`.",
    "Have bodies of requests passed on as they come.",
)
NO_BODY_LIMIT = Mend(
    "`client_max_body_size 0;` in the server.",
    "take `request_body { max_size … }` out.",
    "Lift the limit on the size of requests. Where that can't be done, send in parts: "
    "`appliance upload` and tus clients with a chunk size below it still work.",
)
LONG_REQUESTS = Mend(
    "`client_body_timeout 10m; proxy_read_timeout 1h; proxy_send_timeout 1h;` in the server.",
    "take `read_body`, `read_timeout` and `write_timeout` out of `timeouts` and `transport`.",
    "Let requests and answers take hours.",
)
ANSWERS_STREAM = Mend(
    "`proxy_buffering off;` in the location, and no `gzip_types` with text/event-stream.",
    "`flush_interval -1` in `reverse_proxy`, and no `encode` for text/event-stream.",
    "Have answers passed on as they come.",
)
HEADERS_UP = Mend(
    'take `proxy_set_header NAME "";` for it out; for long ones '
    "`large_client_header_buffers 4 16k;` in the server.",
    "take `header_up -NAME` for it out.",
    "Let all headers of requests pass, up to 16 kB.",
)
LONG_HEADERS_DOWN = Mend(
    "`proxy_buffer_size 16k;` and `proxy_buffers 8 16k;` in the location.",
    "nothing is needed: it passes them on.",
    "Let headers of answers have 16 kB.",
)
HEADERS_DOWN = Mend(
    "take `proxy_hide_header NAME;` for it out.",
    "take `header_down -NAME` and `header -NAME` for it out.",
    "Let all headers of answers pass.",
)
LOCATION = Mend(
    "`proxy_redirect off;` in the location.",
    "take `header_down Location …` out.",
    "Leave the header Location as it is.",
)
METHODS = Mend(
    "take `limit_except` and conditions on `$request_method` out.",
    "take `method` out of the matchers.",
    "Let GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS pass.",
)
STATUSES = Mend(
    "`proxy_intercept_errors off;` in the location.",
    "take `handle_response` and `handle_errors` out.",
    "Leave the status and the words of errors as they are.",
)
RANGES = Mend(
    'take `proxy_set_header Range "";` and `proxy_hide_header Content-Range;` out.',
    "take `header_up -Range` out.",
    "Let Range and Content-Range pass.",
)
