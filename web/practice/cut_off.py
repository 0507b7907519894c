"""An answer that ends in the middle, as when the connection breaks on the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar import Response
from litestar.response.base import ASGIResponse

if TYPE_CHECKING:
    from litestar.types import Receive, Send


class CutOff(Response[bytes]):
    """Announces more than it sends; the server closes the connection for it."""

    def __init__(self) -> None:
        super().__init__(b'{"id": "', status_code=200, media_type="application/json")

    def to_asgi_response(self, *args: Any, **options: Any) -> ASGIResponse:
        return _Half(
            body=self.content,
            headers={"content-length": "64"},
            media_type=self.media_type,
            status_code=self.status_code,
        )


class _Half(ASGIResponse):
    async def send_body(self, send: Send, receive: Receive) -> None:
        """Without the event that would end it: saying "that was all" is a mistake, and is logged
        with a traceback; saying nothing more is one line."""
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
