"""What a child prints: the beginning and the end are kept, and the rest is counted."""

from __future__ import annotations

#: Bytes kept of the beginning, and of the end.
KEPT_BYTES = 16 * 1024


class Output:
    """Takes bytes without end, in bounded memory."""

    def __init__(self, kept: int = KEPT_BYTES) -> None:
        self._kept = kept
        self._head = bytearray()
        self._tail = bytearray()
        self.size = 0

    def add(self, data: bytes) -> None:
        """Append `data`."""
        self.size += len(data)
        room = self._kept - len(self._head)
        self._head += data[:room] if room > 0 else b""
        self._tail += data[max(room, 0) :]
        if len(self._tail) > 2 * self._kept:
            del self._tail[: -self._kept]

    def text(self) -> str:
        """Beginning and end, with the number of bytes that are left out between them."""
        tail = bytes(self._tail[-self._kept :])
        left_out = self.size - len(self._head) - len(tail)
        between = f"\n… {left_out} bytes left out …\n" if left_out else ""
        return self._head.decode(errors="replace") + between + tail.decode(errors="replace")
