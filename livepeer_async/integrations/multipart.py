"""Push parser for a multipart form with one file, which is handed on instead of stored. No I/O.

python-multipart splits the body into headers and content; this module decides what they mean. The
body of a part before the file is kept in memory, within a limit.

Source: RFC 7578; RFC 2046, 5.1.1 (the closing boundary).
"""

from __future__ import annotations

from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from livepeer_async.errors import FormInvalid

# Bytes of a part's headers, and of everything that isn't the file: their parsing takes CPU time.
MAX_HEADER_SIZE = 16 * 1024
MAX_FIELDS_SIZE = 256 * 1024
_HEADERS_END = b"\r\n\r\n"
_BAD_REQUEST = 400
_CONTENT_TOO_LARGE = 413
# Codings that leave the bytes as they are; RFC 7578, 4.7 deprecates the others.
_PLAIN_CODINGS = frozenset({"", "7bit", "8bit", "binary"})


class FormParser:
    """Parses a form that is written to it, up to the end of its only file.

    Args:
        content_type: of the request.
        content_length: of the request; `None` if it is unknown.
        field: the field that the file must have; `None` for any.
        max_fields_size: maximum bytes of all that isn't the file.

    Attributes:
        fields: the fields of the form without a file, by their names.
        has_file: whether the file has begun; then the next attributes are known.
        field: the field of the file.
        filename: the file's name as sent.
        content_type: that of the file.
        length: bytes of the file, if it is the last part and `content_length` is known.
        has_ended: whether the closing boundary was read.

    Raises:
        FormInvalid: the content type isn't that of a form.
    """

    def __init__(
        self,
        content_type: str,
        content_length: int | None,
        *,
        field: str | None = None,
        max_fields_size: int = MAX_FIELDS_SIZE,
    ) -> None:
        self.fields: dict[str, str] = {}
        self.has_file = self.has_ended = False
        self.field = self.filename = self.content_type = ""
        self.length: int | None = None
        self._wanted_field = field
        self._max_fields_size = max_fields_size
        self._content_length = content_length
        self._boundary = _read_boundary(content_type)
        self._written = self._other = self._received = 0
        self._header_size = 0
        self._headers: dict[str, str] = {}
        self._header_name = self._header_value = b""
        # The part that is being read: the file, or a field with its value.
        self._is_in_file = False
        self._part_name = ""
        self._value = bytearray()
        self._pieces: list[bytes] = []
        try:
            self._parser = MultipartParser(self._boundary, self._callbacks())
        except FormParserError as error:
            raise _invalid(f"the boundary can't be used: {error}") from error

    def write(self, block: bytes) -> list[bytes]:
        """Parse a block of the body; return the bytes of the file in it.

        Raises:
            FormInvalid: the form can't be used.
        """
        start = 0
        while start < len(block) and not self.has_ended:
            stop = len(block) if self._is_in_file else _find_end_of_headers(block, start)
            self._write(block[start:stop])
            start = stop
        pieces, self._pieces = self._pieces, []
        return pieces

    def finish(self) -> None:
        """Check a form whose body has ended.

        Raises:
            FormInvalid: its end is missing, or it has no file.
        """
        if not self.has_ended:
            raise _invalid("the body ended before the closing boundary")
        if not self.has_file:
            raise _invalid("the form has no file")

    def _callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin_part,
            "on_header_field": self._add_header_name,
            "on_header_value": self._add_header_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._add_content,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def _write(self, block: bytes) -> None:
        if not self._is_in_file:
            self._other += len(block)
            if self._other > self._max_fields_size:
                raise _invalid(
                    f"the fields have more than {self._max_fields_size} bytes", _CONTENT_TOO_LARGE
                )
        self._written += len(block)
        try:
            self._parser.write(block)
        except FormParserError as error:
            raise _invalid(f"the form is malformed: {error}") from error

    def _begin_part(self) -> None:
        self._headers, self._header_size = {}, 0
        self._header_name = self._header_value = b""

    def _add_header_name(self, data: bytes, start: int, stop: int) -> None:
        self._header_name += self._count_header(data[start:stop])

    def _add_header_value(self, data: bytes, start: int, stop: int) -> None:
        self._header_value += self._count_header(data[start:stop])

    def _count_header(self, piece: bytes) -> bytes:
        self._header_size += len(piece)
        if self._header_size > MAX_HEADER_SIZE:
            raise _invalid(
                f"the headers of a part have more than {MAX_HEADER_SIZE} bytes", _CONTENT_TOO_LARGE
            )
        return piece

    def _end_header(self) -> None:
        self._headers[_decode(self._header_name).lower()] = _decode(self._header_value)
        self._header_name = self._header_value = b""

    def _end_headers(self) -> None:
        disposition, options = parse_options_header(self._headers.get("content-disposition"))
        if disposition != b"form-data" or b"name" not in options:
            raise _invalid("a part has no Content-Disposition: form-data with a name")
        self._part_name, self._value = _decode(options[b"name"]), bytearray()
        coding = self._headers.get("content-transfer-encoding", "").strip().lower()
        if coding not in _PLAIN_CODINGS:
            raise _invalid(f"a part has the Content-Transfer-Encoding {coding[:40]!r}")
        if b"filename" in options:
            self._begin_file(_decode(options[b"filename"]))
        elif self.length is not None:
            raise self._not_last()

    def _begin_file(self, filename: str) -> None:
        if self.has_file:
            raise _invalid("the form has several files; wanted one")
        if self._wanted_field not in (None, self._part_name):
            raise _invalid(
                f"the file is in the field {self._part_name[:80]!r}; wanted {self._wanted_field!r}"
            )
        if not filename:
            raise _invalid("no file was chosen in the form")
        self.has_file = self._is_in_file = True
        self.field, self.filename = self._part_name, filename
        self.content_type = self._headers.get("content-type", "")
        if self._content_length is not None:
            closing = len(self._boundary) + len(b"\r\n----\r\n")
            self.length = self._content_length - self._written - closing
            if self.length < 0:
                raise _invalid("the body is shorter than its closing boundary")

    def _add_content(self, data: bytes, start: int, stop: int) -> None:
        if not self._is_in_file:
            self._value += data[start:stop]
            return
        self._received += stop - start
        if self.length is not None and self._received > self.length:
            raise self._not_last()
        self._pieces.append(data[start:stop])

    def _end_part(self) -> None:
        if not self._is_in_file:
            self.fields[self._part_name] = _decode(bytes(self._value))
            return
        self._is_in_file = False
        if self.length not in (None, self._received):
            raise self._not_last()

    def _end(self) -> None:
        self.has_ended = True

    def _not_last(self) -> FormInvalid:
        return _invalid(
            f"the file has {self._received} bytes or more, but {self.length} would be those of a "
            "last field, before a closing boundary with a line break: send the file as the last "
            "field, or upload it without length="
        )


def _find_end_of_headers(block: bytes, start: int) -> int:
    """Return where headers may end next, and a file begin; the length of the block if nowhere."""
    if start < len(_HEADERS_END) - 1:
        # They may have begun to end in the block before.
        return start + 1
    found = block.find(_HEADERS_END, start - len(_HEADERS_END) + 1)
    return found + len(_HEADERS_END) if found >= 0 else len(block)


def _read_boundary(content_type: str) -> bytes:
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        shown = kind.decode("latin-1")[:80]
        raise _invalid(f"the content type is {shown!r}; wanted 'multipart/form-data'")
    if not options.get(b"boundary"):
        raise _invalid("the content type has no boundary")
    return options[b"boundary"]


def _decode(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _invalid(finding: str, status: int = _BAD_REQUEST) -> FormInvalid:
    return FormInvalid(f"the form can't be read: {finding}", status=status)
