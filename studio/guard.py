"""What every request passes: the right host, no foreign origin, and headers that keep the page to itself.

Plain ASGI, so that streamed answers are not held back.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from storage.settings import StudioSettings
from studio.text import say

LOOPBACK = ("localhost", "127.0.0.1", "::1")
ASSETS_STAY = "public, max-age=31536000, immutable"  # their names hold a hash of their content
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")

# Gradio's scripts stand in the page (unsafe-inline), and its HTML component compiles its template (unsafe-eval).
# connect-src and the rest still keep a script from sending anything to another host.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "worker-src 'self' blob:",
        "connect-src 'self'",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class Guard:
    """Refuses foreign hosts and origins, and adds the security headers to every answer."""

    def __init__(self, app: ASGIApp, settings: StudioSettings):
        self.app = app
        # bound to other addresses on purpose, the studio has names that it cannot know
        self.hosts = {*LOOPBACK, settings.host} if settings.host in LOOPBACK else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if scope["path"].startswith("/assets/") and message["status"] == 200:
                    headers["Cache-Control"] = ASSETS_STAY
            await send(message)

        problem = self._problem(scope.get("method", "GET"), Headers(scope=scope))
        answer = PlainTextResponse(problem[1], problem[0]) if problem else self.app
        await answer(scope, receive, send_with_headers)

    def _problem(self, method: str, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if self.hosts is not None and _name_of(host) not in self.hosts:
            return 400, say("guard.host", host=host[:100])
        if method in SAFE_METHODS:
            return None
        origin = headers.get("origin")
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none") or (
            origin is not None and urlsplit(origin).netloc != host
        ):
            return 403, say("guard.origin")
        return None


def _name_of(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
