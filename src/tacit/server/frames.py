"""The WebSocket's protocol as the server below has it, but for text that is none."""

from __future__ import annotations

from contextlib import suppress

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.frames import CloseCode


class Frames(WebSocketsSansIOProtocol):
    """Ends a connection that sends text which is not UTF-8 without a word in the log.

    uvicorn logs each such frame as an error of its own, and fails where the client's end stands right behind it.
    """

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.frames = []
                with suppress(InvalidState):
                    self.conn.send_close(CloseCode.INVALID_DATA)
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()
