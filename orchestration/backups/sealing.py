"""An encrypted stream of any length: AES-256-GCM in chunks, each of which proves its place.

    header   8 bytes magic, 1 byte format, 16 bytes that tell the key, 32 random bytes
    chunks   1 MiB of content each, the last one less, with 16 bytes of proof after each

Every file has a key of its own, HKDF-SHA256 of the key and the random bytes, so a chunk of another
file opens nowhere else. The nonce of a chunk is its number and whether it is the last (STREAM:
Hoang, Reyhanitabar, Rogaway and Vizár, 2015), and the header is proven with each. So a flipped bit,
chunks that were moved, left out, added or taken from another backup, and an end that was cut off
are all noticed before a byte of that chunk is handed out.
"""

import hashlib
import hmac
import io
import os
from typing import IO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAGIC = b"WHBACKUP"
FORMAT = 1
CHUNK = 1 << 20
TAG = 16
_CHECK, _SALT = 16, 32
HEADER = len(MAGIC) + 1 + _CHECK + _SALT


class SealError(Exception):
    """A file is no backup, or not as it was written; a part of a sentence says why."""


class SealingWriter(io.RawIOBase):
    """Encrypts what is written to it. Only `finish` writes the end: without it nothing opens."""

    def __init__(self, file: IO[bytes], key: bytes) -> None:
        super().__init__()
        salt = os.urandom(_SALT)
        self._header = MAGIC + bytes([FORMAT]) + _check_of(key) + salt
        self._cipher = _cipher(key, salt)
        self._file = file
        self._number = 0
        self._waiting = bytearray()
        file.write(self._header)

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, content: bytes) -> int:  # type: ignore[override]
        """Take all of the content; returns its length."""
        self._waiting += content
        # a whole chunk waits until more comes, for it may be the last one
        while len(self._waiting) > CHUNK:
            self._seal(bytes(self._waiting[:CHUNK]), is_last=False)
            del self._waiting[:CHUNK]
        return len(content)

    def finish(self) -> None:
        """Write the last chunk."""
        self._seal(bytes(self._waiting), is_last=True)
        self._waiting.clear()

    def _seal(self, content: bytes, *, is_last: bool) -> None:
        nonce = _nonce(self._number, is_last=is_last)
        self._file.write(self._cipher.encrypt(nonce, content, self._header))
        self._number += 1


class SealedReader(io.RawIOBase):
    """Decrypts, chunk by chunk. Raises SealError before a byte that is not proven is returned."""

    def __init__(self, file: IO[bytes], key: bytes) -> None:
        super().__init__()
        self._header = file.read(HEADER)
        if not self._header.startswith(MAGIC):
            raise SealError("is no backup: it does not begin as one")
        if len(self._header) < HEADER:
            raise SealError("is cut off: not even its header is whole")
        if (found := self._header[len(MAGIC)]) != FORMAT:
            raise SealError(
                f"has format {found}, and this code reads format {FORMAT}: newer code has written"
                " it, or its header is damaged"
            )
        check = self._header[len(MAGIC) + 1 :][:_CHECK]
        if not hmac.compare_digest(check, _check_of(key)):
            raise SealError("was encrypted by another key, or its header is damaged")
        self._cipher = _cipher(key, self._header[-_SALT:])
        self._file = file
        self._number = 0
        self._next = file.read(CHUNK + TAG)
        self._content = memoryview(b"")
        self._is_through = False

    def readable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, all that are left without one; nothing at the end."""
        parts = []
        while size != 0 and (self._content or self._open_next()):
            part = self._content if size < 0 else self._content[:size]
            self._content = self._content[len(part) :]
            parts.append(bytes(part))
            size -= len(part) if size > 0 else 0
        return b"".join(parts)

    def _open_next(self) -> bool:
        """Decrypt the next chunk; returns whether there is content in it."""
        if self._is_through:
            return False
        sealed, self._next = self._next, self._file.read(CHUNK + TAG)
        is_last = not self._next
        content = self._opened(sealed, is_last=is_last)
        if content is None:
            raise SealError(self._problem(sealed, is_last=is_last))
        self._number += 1
        self._is_through = is_last
        self._content = memoryview(content)
        return bool(content)

    def _opened(self, sealed: bytes, *, is_last: bool) -> bytes | None:
        try:
            return self._cipher.decrypt(_nonce(self._number, is_last=is_last), sealed, self._header)
        except InvalidTag:
            return None

    def _problem(self, sealed: bytes, *, is_last: bool) -> str:
        where = HEADER + self._number * (CHUNK + TAG)
        if not sealed or (is_last and self._opened(sealed, is_last=False) is not None):
            return f"is cut off: its end is missing after byte {where + len(sealed):,}"
        if not is_last and self._opened(sealed, is_last=True) is not None:
            return f"has something after its end, at byte {where + len(sealed):,}"
        return f"is damaged, or cut off, in the chunk that begins at byte {where:,}"


def _cipher(key: bytes, salt: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, salt, b"warehouse backup").derive(key))


def _check_of(key: bytes) -> bytes:
    """Tells whether a key is the one that encrypted, and nothing else about it."""
    return hmac.new(key, b"warehouse backup: which key", hashlib.sha256).digest()[:_CHECK]


def _nonce(number: int, *, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([is_last])
