"""Bytes on a socket: what they are answered, how often, and whether the connection goes on.

Each row: name, bytes, statuses of the replies to them, fate of the connection. Bytes that could be read
in two ways are followed by a request, which must never be answered."""

import socket

import pytest

from support.raw_http import Exchange
from support.wait import PATIENCE_S

HOST = b"Host: x\r\n"
JSON = b"Content-Type: application/json\r\n"
LENGTH = b"Content-Length: 14\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
USER = b'{"name":"Ada"}'
CHUNKS = b"e\r\n" + USER + b"\r\n0\r\n\r\n"
HIDDEN = b"GET /users HTTP/1.1\r\nHost: x\r\n\r\n"
LINE = b"POST /users/save HTTP/1.1\r\n"
KEPT, CLOSED = "kept", "closed"
FAR = ("--idle-timeout", "600s", "--request-timeout", "600s", "--reply-timeout", "600s")
REFUSED = ([400], CLOSED)
SILENT = ([], CLOSED)
LATE = ([408], CLOSED)  # the library does not always notice at once that a client has left


def get(target=b"/users", headers=HOST, version=b"HTTP/1.1", method=b"GET"):
    return method + b" " + target + b" " + version + b"\r\n" + headers + b"\r\n"


def save(headers=LENGTH, body=USER, line=LINE):
    return line + HOST + JSON + headers + b"\r\n" + body


def hidden(headers, body=USER):
    return save(headers, body) + HIDDEN


def chunked(body, headers=CHUNKED):
    return save(headers, body)


def row(name, data, statuses, fate, *others):
    """others: what another version of the library does, as safe as the first."""
    return pytest.param(data, [(statuses, fate), *others], id=name)


# The library of Debian 12 sends the head of some of its own refusals twice, and closes.
TWICE = ([400, 400], CLOSED)
TWICE_LARGE = ([413, 413], CLOSED)

LENGTHS = [
    row("length then coding", hidden(LENGTH + CHUNKED, CHUNKS), *REFUSED),
    row("coding then length", hidden(CHUNKED + LENGTH, CHUNKS), *REFUSED),
    row("length 0 and coding", hidden(b"Content-Length: 0\r\n" + CHUNKED, CHUNKS), *REFUSED),
    row("two lengths that differ", hidden(LENGTH + b"Content-Length: 15\r\n"), *REFUSED),
    row("two lengths, short one first", hidden(b"Content-Length: 0\r\n" + LENGTH), *REFUSED),
    row("the same length twice", hidden(LENGTH + LENGTH), *REFUSED),
    row("length in other case twice", hidden(LENGTH + b"content-length: 14\r\n"), *REFUSED),
    row("length +14", hidden(b"Content-Length: +14\r\n"), *REFUSED, TWICE),
    row("length -14", hidden(b"Content-Length: -14\r\n"), *REFUSED, TWICE),
    row("length -0", hidden(b"Content-Length: -0\r\n"), *REFUSED, TWICE),
    row("length 0x0e", hidden(b"Content-Length: 0x0e\r\n"), *REFUSED, TWICE),
    row("length of letters", hidden(b"Content-Length: e\r\n"), *REFUSED, TWICE),
    row("length empty", hidden(b"Content-Length:\r\n"), *REFUSED, TWICE),
    row("length of blanks", hidden(b"Content-Length:  \t \r\n"), *REFUSED, TWICE),
    row("length 1 4", hidden(b"Content-Length: 1 4\r\n"), *REFUSED, TWICE),
    row("length 14.0", hidden(b"Content-Length: 14.0\r\n"), *REFUSED, TWICE),
    row("length 1e1", hidden(b"Content-Length: 1e1\r\n"), *REFUSED, TWICE),
    row("length 14,14", hidden(b"Content-Length: 14,14\r\n"), *REFUSED, TWICE),
    row("length 14, 15", hidden(b"Content-Length: 14, 15\r\n"), *REFUSED, TWICE),
    row("length in quotes", hidden(b'Content-Length: "14"\r\n'), *REFUSED, TWICE),
    row("length with a blank after it", save(b"Content-Length: 14 \r\n"), *REFUSED, TWICE, ([200], KEPT)),
    row("length without a blank", save(b"Content-Length:14\r\n"), [200], KEPT),
    row("length after a tab", save(b"Content-Length:\t14\r\n"), [200], KEPT),
    row("length 014", save(b"Content-Length: 014\r\n"), [200], KEPT),
    row("length of 18 digits", hidden(b"Content-Length: 999999999999999999\r\n"), [413], CLOSED),
    row("length of 19 digits", hidden(b"Content-Length: 1000000000000000000\r\n"), *REFUSED),
    row("length over 64 bits", hidden(b"Content-Length: 18446744073709551630\r\n"), [413], CLOSED,
        TWICE_LARGE),
    row("length over the limit", hidden(b"Content-Length: 65537\r\n"), [413], CLOSED),
    row("length in another name", save(b"Content_Length: 3\r\n" + LENGTH), [200], KEPT),
    row("neither length nor coding", save(b"", b""), [400], KEPT),
    row("a body without a length", save(b"", USER), [400, 400], CLOSED, REFUSED),
]

CODINGS = [
    row("coding gzip", hidden(b"Transfer-Encoding: gzip\r\n"), *REFUSED),
    row("coding identity", hidden(b"Transfer-Encoding: identity\r\n"), *REFUSED),
    row("coding identity and length", hidden(b"Transfer-Encoding: identity\r\n" + LENGTH), *REFUSED),
    row("coding gzip, chunked", hidden(b"Transfer-Encoding: gzip, chunked\r\n", CHUNKS), *REFUSED),
    row("coding chunked, identity", hidden(b"Transfer-Encoding: chunked, identity\r\n", CHUNKS),
        *REFUSED),
    row("coding chunked, chunked", hidden(b"Transfer-Encoding: chunked, chunked\r\n", CHUNKS), *REFUSED),
    row("coding twice", hidden(CHUNKED + CHUNKED, CHUNKS), *REFUSED),
    row("coding chunked, then gzip", hidden(CHUNKED + b"Transfer-Encoding: gzip\r\n", CHUNKS), *REFUSED),
    row("coding empty", hidden(b"Transfer-Encoding:\r\n", CHUNKS), *REFUSED),
    row("coding with a parameter", hidden(b"Transfer-Encoding: chunked;q=1\r\n", CHUNKS), *REFUSED),
    row("coding with a blank after it", hidden(b"Transfer-Encoding: chunked \r\n", CHUNKS), *REFUSED, ([200], CLOSED)),
    row("coding in quotes", hidden(b'Transfer-Encoding: "chunked"\r\n', CHUNKS), *REFUSED),
    row("coding xchunked", hidden(b"Transfer-Encoding: xchunked\r\n", CHUNKS), *REFUSED),
    row("coding with a comma after it", hidden(b"Transfer-Encoding: chunked,\r\n", CHUNKS), *REFUSED),
    row("coding after a vertical tab", hidden(b"Transfer-Encoding: \x0bchunked\r\n", CHUNKS), *REFUSED),
    row("coding, blank before colon", hidden(b"Transfer-Encoding : chunked\r\n", CHUNKS), *REFUSED),
    row("coding, tab before colon", hidden(b"Transfer-Encoding\t: chunked\r\n", CHUNKS), *REFUSED),
    row("coding, blank before its name", hidden(b"X: y\r\n Transfer-Encoding: chunked\r\n", CHUNKS),
        *REFUSED),
    row("coding on a folded line", hidden(b"Transfer-Encoding:\r\n chunked\r\n", CHUNKS), *REFUSED),
    row("coding after a bare CR", hidden(b"X: y\rTransfer-Encoding: chunked\r\n" + LENGTH), *REFUSED),
    row("coding after a bare LF", hidden(b"X: y\nTransfer-Encoding: chunked\r\n", CHUNKS), *REFUSED),
    row("coding with a NUL", hidden(b"Transfer-Encoding: chunked\0\r\n", CHUNKS), *REFUSED),
    row("coding in HTTP/1.0", save(CHUNKED, CHUNKS + HIDDEN, LINE.replace(b"1.1", b"1.0")), *REFUSED),
    row("coding CHUNKED", chunked(CHUNKS, b"Transfer-Encoding: CHUNKED\r\n"), [200], CLOSED),
]

CHUNKED_BODIES = [
    row("chunked", chunked(CHUNKS), [200], CLOSED),
    row("chunked, and a request behind it", chunked(CHUNKS + HIDDEN), [200], CLOSED),
    row("two chunks", chunked(b'7\r\n{"name"\r\n7\r\n:"Ada"}\r\n0\r\n\r\n'), [200], CLOSED),
    row("chunk size in upper case", chunked(CHUNKS.replace(b"e\r\n", b"E\r\n", 1)), [200], CLOSED),
    row("chunk size with zeros", chunked(b"000" + CHUNKS), [200], CLOSED),
    row("chunk with an extension", chunked(b"e;a=b\r\n" + USER + b"\r\n0\r\n\r\n"), [200], CLOSED, REFUSED),
    row("chunk with trailers", chunked(b"e\r\n" + USER + b"\r\n0\r\nX-Sum: 1\r\n\r\n"), [200], CLOSED),
    row("trailers that would frame", chunked(b"e\r\n" + USER + b"\r\n0\r\nContent-Length: 5\r\n\r\n"
                                             + HIDDEN), [200], CLOSED),
    row("trailer without a colon", chunked(b"e\r\n" + USER + b"\r\n0\r\nnothing\r\n\r\n" + HIDDEN),
        *REFUSED),
    row("chunk size empty", chunked(b"\r\n" + CHUNKS + HIDDEN), *REFUSED),
    row("chunk size 0xe", chunked(b"0x" + CHUNKS + HIDDEN), *REFUSED),
    row("chunk size +e", chunked(b"+" + CHUNKS + HIDDEN), *REFUSED),
    row("chunk size -e", chunked(b"-" + CHUNKS + HIDDEN), *REFUSED),
    row("chunk size after a blank", chunked(b" " + CHUNKS + HIDDEN), *REFUSED),
    row("chunk size before a blank", chunked(b"e \r\n" + USER + b"\r\n0\r\n\r\n" + HIDDEN), *REFUSED),
    row("chunk size of letters", chunked(b"g\r\n" + USER + b"\r\n0\r\n\r\n" + HIDDEN), *REFUSED),
    row("chunk size over 64 bits", chunked(b"1000000000000000e\r\n" + USER + b"\r\n0\r\n\r\n" + HIDDEN),
        [413], CLOSED),
    row("chunk size too small", chunked(b"d\r\n" + USER + b"\r\n0\r\n\r\n" + HIDDEN), *REFUSED),
    row("chunk size too large", chunked(b"f\r\n" + USER + b"\r\n0\r\n\r\n" + HIDDEN), [200], CLOSED,
        REFUSED),
    row("chunk lines end with LF", chunked(CHUNKS.replace(b"\r\n", b"\n") + HIDDEN), [200], CLOSED,
        REFUSED),
    row("LF in an extension", chunked(b"e;\n" + USER + b"\r\n0\r\n\r\n" + HIDDEN), [200], CLOSED, REFUSED),
]

HEADS = [
    row("no Host", get(headers=b"") + HIDDEN, *REFUSED),
    row("two Hosts", get(headers=HOST + b"Host: y\r\n") + HIDDEN, *REFUSED),
    row("the same Host twice", get(headers=HOST + HOST) + HIDDEN, *REFUSED),
    row("Host with a blank", get(headers=b"Host: a b\r\n") + HIDDEN, *REFUSED),
    row("Host with a path", get(headers=b"Host: x/y\r\n") + HIDDEN, *REFUSED),
    row("Host with a user", get(headers=b"Host: u@x\r\n") + HIDDEN, *REFUSED),
    row("Host with a list", get(headers=b"Host: x, y\r\n") + HIDDEN, *REFUSED),
    row("Host with a port of letters", get(headers=b"Host: x:http\r\n") + HIDDEN, *REFUSED),
    row("Host with two ports", get(headers=b"Host: x:1:2\r\n") + HIDDEN, *REFUSED),
    row("Host with an open bracket", get(headers=b"Host: [::1\r\n") + HIDDEN, *REFUSED),
    row("Host of version 6", get(headers=b"Host: [::1]:3000\r\n"), [200], KEPT),
    row("Host with a port", get(headers=b"Host: x.example:3000\r\n"), [200], KEPT),
    row("Host empty", get(headers=b"Host:\r\n"), [200], KEPT),
    row("Host with blanks after it", get(headers=b"Host: x \t\r\n"), [200], KEPT),
    row("Host of blanks", get(headers=b"Host:  \t\r\n"), [200], KEPT),
    row("Host with a blank before colon", get(headers=b"Host : x\r\n") + HIDDEN, *REFUSED),
    row("blank before colon", get(headers=HOST + b"X : y\r\n") + HIDDEN, *REFUSED),
    row("blank in a name", get(headers=HOST + b"X Y: z\r\n") + HIDDEN, *REFUSED),
    row("blank before the first name", get(headers=b" X: y\r\n" + HOST) + HIDDEN, *REFUSED),
    row("folded line", get(headers=HOST + b"X: y\r\n z\r\n") + HIDDEN, *REFUSED),
    row("folded line with a tab", get(headers=HOST + b"X: y\r\n\tz\r\n") + HIDDEN, *REFUSED),
    row("folded line of blanks", get(headers=HOST + b"X: y\r\n  \r\n") + HIDDEN, *REFUSED),
    row("folded last line", get(headers=b"Host:\r\n x\r\n") + HIDDEN, *REFUSED),
    row("empty name", get(headers=HOST + b": y\r\n") + HIDDEN, *REFUSED),
    row("no colon", get(headers=HOST + b"nothing\r\n") + HIDDEN, *REFUSED),
    row("name with a parenthesis", get(headers=HOST + b"X(: y\r\n") + HIDDEN, *REFUSED),
    row("name beyond ASCII", get(headers=HOST + b"X\xe9: y\r\n") + HIDDEN, *REFUSED),
    row("NUL in a value", get(headers=HOST + b"X: a\0b\r\n") + HIDDEN, *REFUSED),
    row("NUL at the end of a value", get(headers=HOST + b"X: a\0\r\n") + HIDDEN, *REFUSED),
    row("NUL for a value", get(headers=HOST + b"X:\0\r\n") + HIDDEN, *REFUSED),
    row("NUL in the last value", get(headers=b"Host: x\0y\r\n") + HIDDEN, *REFUSED),
    row("NUL in a name", get(headers=HOST + b"X\0Y: a\r\n") + HIDDEN, *REFUSED),
    row("bare CR in a value", get(headers=HOST + b"X: a\rb\r\n") + HIDDEN, *REFUSED),
    row("bare CR before CR LF", get(headers=HOST + b"X: a\r\r\n") + HIDDEN, *REFUSED),
    row("bare LF after a header", get(headers=HOST + b"X: a\nY: b\r\n") + HIDDEN, *REFUSED),
    row("bare LF after the last header", get(headers=b"Host: x\n") + HIDDEN, *REFUSED),
    row("bare LF after the request line", b"GET /users HTTP/1.1\n" + HOST + b"\r\n" + HIDDEN, *REFUSED),
    row("bare LF for the end of the head", b"GET /users HTTP/1.1\r\n" + HOST + b"\n" + HIDDEN, *REFUSED),
    row("bare LFs only", get().replace(b"\r\n", b"\n") + HIDDEN, *REFUSED),
    row("bare LF that hides a length", hidden(b"X: y\nContent-Length: 14\r\n"), *REFUSED),
    row("control character", get(headers=HOST + b"X: a\x01b\r\n") + HIDDEN, *REFUSED),
    row("escape character", get(headers=HOST + b"X: \x1b[2J\r\n") + HIDDEN, *REFUSED),
    row("delete character", get(headers=HOST + b"X: \x7f\r\n") + HIDDEN, *REFUSED),
    row("tab in a value", get(headers=HOST + b"X: a\tb\r\n"), [200], KEPT),
    row("a value beyond ASCII", get(headers=HOST + b"X: \xc3\xa9\r\n"), [200], KEPT),
    row("cookies", get(headers=HOST + b"Cookie: a=b; c=\"d e\"; f\r\nX: y\r\n"), [200], KEPT),
    row("an empty value", get(headers=HOST + b"X:\r\nY: \r\n"), [200], KEPT),
    row("a line of 7000 bytes", get(headers=HOST + b"X: " + b"y" * 7000 + b"\r\n"), [200], KEPT),
    row("a head of 40000 bytes", get(headers=HOST + b"X: " + b"y" * 40000 + b"\r\n"), [431], CLOSED),
    row("a target of 40000 bytes", get(b"/" + b"y" * 40000), [414], CLOSED),
    row("100 headers", get(headers=HOST + b"X: y\r\n" * 100), [200], KEPT),
    row("3000 headers", get(headers=HOST + b"X: y\r\n" * 3000), [431], CLOSED),
]

LINES = [
    row("GET", get(), [200], KEPT),
    row("HEAD", get(method=b"HEAD"), [200], KEPT),
    row("OPTIONS", get(b"/users/save", method=b"OPTIONS"), [204], KEPT),
    row("OPTIONS *", get(b"*", method=b"OPTIONS"), [204], KEPT),
    row("GET *", get(b"*"), [404], KEPT),
    row("unknown method", get(method=b"BREW"), [405], KEPT),
    row("TRACE", get(method=b"TRACE"), [405], KEPT),
    row("PUT with a body", get(b"/users/save", HOST + LENGTH, method=b"PUT") + USER, [405], KEPT),
    row("CONNECT", get(b"x:443", method=b"CONNECT") + HIDDEN, *REFUSED),
    row("method in lower case", get(method=b"get"), [405], KEPT),
    row("method with a parenthesis", get(method=b"GE(T") + HIDDEN, *REFUSED),
    row("no method", b" /users HTTP/1.1\r\n" + HOST + b"\r\n" + HIDDEN, *SILENT, REFUSED),
    row("NUL in the method", save(line=b"POST\0X /users/save HTTP/1.1\r\n") + HIDDEN, *REFUSED, SILENT),
    row("NUL after the method", save(line=b"POST\0 /users/save HTTP/1.1\r\n") + HIDDEN, *REFUSED, SILENT),
    row("NUL for a blank", save(line=b"POST\0/users/save HTTP/1.1\r\n") + HIDDEN, *REFUSED, SILENT),
    row("NUL before the method", save(line=b"\0" + LINE) + HIDDEN, *REFUSED, SILENT),
    row("NUL before the target", save(line=b"POST \0/users/save HTTP/1.1\r\n") + HIDDEN, *REFUSED, SILENT),
    row("NUL and blanks before the target", save(line=b"POST \0 /users/save HTTP/1.1\r\n") + HIDDEN, *REFUSED,
        SILENT),
    row("NUL after the version", save(line=b"POST /users/save HTTP/1.1\0\r\n") + HIDDEN, *REFUSED, SILENT),
    row("HTTP/0.9", b"GET /users\r\n", *REFUSED),
    row("no version", b"GET /users\r\n" + HOST + b"\r\n" + HIDDEN, *REFUSED),
    row("HTTP/0.9 by name", get(version=b"HTTP/0.9"), [505], CLOSED),
    row("HTTP/1.0", get(version=b"HTTP/1.0"), [200], CLOSED),
    row("HTTP/1.0 without Host", get(headers=b"", version=b"HTTP/1.0"), [200], CLOSED),
    row("HTTP/1.0 keep-alive", get(headers=HOST + b"Connection: keep-alive\r\n", version=b"HTTP/1.0"),
        [200], KEPT),
    row("HTTP/1.0 save", save(line=LINE.replace(b"1.1", b"1.0")), [200], CLOSED),
    row("HTTP/1.2", get(version=b"HTTP/1.2"), [200], KEPT),
    row("HTTP/1.2 without Host", get(headers=b"", version=b"HTTP/1.2") + HIDDEN, *REFUSED),
    row("HTTP/2.0", get(version=b"HTTP/2.0") + HIDDEN, [505], CLOSED),
    row("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [505], CLOSED),
    row("version in lower case", get(version=b"http/1.1") + HIDDEN, *REFUSED),
    row("version 1.01", get(version=b"HTTP/1.01") + HIDDEN, *REFUSED),
    row("version of another protocol", get(version=b"RTSP/1.0") + HIDDEN, *REFUSED),
    row("two blanks before the target", b"GET  /users HTTP/1.1\r\n" + HOST + b"\r\n" + HIDDEN,
        *REFUSED, ([200, 200], KEPT)),
    row("a blank after the version", get(version=b"HTTP/1.1 ") + HIDDEN, *REFUSED),
    row("a tab between", b"GET\t/users HTTP/1.1\r\n" + HOST + b"\r\n" + HIDDEN, *SILENT, REFUSED),
    row("a CR before the request line", b"\r\n" + get(), [200], KEPT),
    row("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32) + b"\r\n\r\n", *SILENT,
        REFUSED),
    row("nonsense", b"nonsense\r\n\r\n" + HIDDEN, *SILENT, REFUSED),
]

TARGETS = [
    row("absolute form", get(b"http://x:3000/users"), [200], KEPT),
    row("absolute form, another host", get(b"http://elsewhere/users"), [200], KEPT),
    row("absolute form, no path", get(b"HTTP://x"), [404], KEPT),
    row("absolute form with a query", get(b"http://x/users?a=b"), [200], KEPT),
    row("absolute form, no host", get(b"http:///users") + HIDDEN, *REFUSED),
    row("absolute form with a user", get(b"http://u@x/users") + HIDDEN, *REFUSED),
    row("absolute form of another protocol", get(b"ftp://x/users") + HIDDEN, *REFUSED),
    row("path without a slash", get(b"users") + HIDDEN, *REFUSED),
    row("query", get(b"/users?a=b&c=d%20e"), [200], KEPT),
    row("empty query", get(b"/users?"), [200], KEPT),
    row("query with slashes", get(b"/users?a=/%2F"), [200], KEPT),
    row("encoded letter", get(b"/%75sers"), [200], KEPT),
    row("encoded slash", get(b"/users%2fsave"), [404], KEPT),
    row("encoded slash at the front", get(b"/%2Fusers"), [404], KEPT),
    row("encoded question mark", get(b"/users%3Fa"), [404], KEPT),
    row("encoded twice", get(b"/%2575sers"), [404], KEPT),
    row("encoded NUL", get(b"/users%00") + HIDDEN, *REFUSED),
    row("encoded line end", get(b"/users%0d%0aX:"), [404], KEPT),
    row("bad encoding", get(b"/users%zz") + HIDDEN, *REFUSED),
    row("half an encoding", get(b"/users%2") + HIDDEN, *REFUSED),
    row("bad encoding in the query", get(b"/users?a=%") + HIDDEN, *REFUSED),
    row("dots", get(b"/users/../users"), [405], KEPT),
    row("encoded dots", get(b"/users/%2e%2e/users"), [405], KEPT),
    row("two slashes", get(b"//users"), [404], KEPT),
    row("a slash at the end", get(b"/users/"), [404], KEPT),
    row("backslash", get(b"/\\users"), [404], KEPT),
    row("fragment", get(b"/users#a") + HIDDEN, *REFUSED),
    row("a blank in the target", get(b"/us ers") + HIDDEN, *REFUSED),
    row("NUL in the target", get(b"/users\0x") + HIDDEN, *REFUSED, SILENT),
    row("target beyond ASCII", get(b"/us\xc3\xa9rs") + HIDDEN, *REFUSED),
    row("control character in the target", get(b"/us\x01ers") + HIDDEN, *REFUSED),
]

FLOW = [
    row("save", save(), [200], KEPT),
    row("thirty saves", save() * 30, [200] * 30, KEPT),
    row("two saves", save() * 2, [200, 200], KEPT),
    row("save, get, save", save() + get() + save(), [200, 200, 200], KEPT),
    row("good, then bad", save() + get(headers=b"") + HIDDEN, [200, 400], CLOSED),
    row("bad, then good", get(headers=b"") + save(), *REFUSED),
    row("a body larger than its length", save(body=USER + b"x") + HIDDEN, [200, 405], KEPT),
    row("an empty line after a body", save() + b"\r\n" + get(), [200, 200], KEPT),
    row("Connection: close", get(headers=HOST + b"Connection: close\r\n") + HIDDEN, [200], CLOSED),
    row("Connection: Close, in a list", get(headers=HOST + b"Connection: x, Close\r\n") + HIDDEN, [200],
        CLOSED),
    row("Connection: keep-alive", get(headers=HOST + b"Connection: keep-alive\r\n"), [200], KEPT),
    row("Connection: close on a save", save(LENGTH + b"Connection: close\r\n") + HIDDEN, [200], CLOSED),
    row("upgrade that is ignored", get(headers=HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n"), [200],
        KEPT),
    row("Expect", save(LENGTH + b"Expect: 100-continue\r\n"), [100, 200], KEPT, ([200], KEPT)),
    row("Expect in another case", save(LENGTH + b"expect: 100-Continue\r\n"), [100, 200], KEPT,
        ([200], KEPT)),
    row("Expect of a body too large", hidden(b"Content-Length: 65537\r\nExpect: 100-continue\r\n"),
        [413], CLOSED),
    row("Expect of something else", save(LENGTH + b"Expect: wonders\r\n"), [200], KEPT),
    row("Expect in HTTP/1.0", save(LENGTH + b"Expect: 100-continue\r\n", USER,
                                   LINE.replace(b"1.1", b"1.0")), [200], CLOSED),
    row("GET with a body", get(headers=HOST + LENGTH) + USER + get(), [200, 200], KEPT),
    row("HEAD with a body", get(headers=HOST + LENGTH, method=b"HEAD") + USER + get(), [200, 200], KEPT),
    row("unknown path with a body", get(b"/x", HOST + LENGTH, method=b"POST") + USER + get(), [404, 200],
        KEPT),
]

TABLE = LENGTHS + CODINGS + CHUNKED_BODIES + HEADS + LINES + TARGETS + FLOW

SESSION_TABLE = [
    row("encoded slash in an id", get(b"/users/a%2Fb"), [404], KEPT),
    row("encoded slash for the path's", get(b"/users%2Fb"), [404], KEPT),
    row("encoded NUL in an id", get(b"/users/a%00b") + HIDDEN, *REFUSED),
    row("length and coding", get(b"/sessions", HOST + LENGTH + CHUNKED) + CHUNKS + HIDDEN, *REFUSED),
    row("bare LF", get(b"/sessions", b"Host: x\n") + HIDDEN, *REFUSED),
    row("folded line", get(b"/sessions", HOST + b"X: y\r\n z\r\n") + HIDDEN, *REFUSED),
    row("body too large", get(b"/sessions", HOST + b"Content-Length: 1025\r\n") + HIDDEN, [413], CLOSED),
    row("query", get(b"/sessions?limit=1"), [200], KEPT),
    row("pipelined", get(b"/sessions") + get(b"/sessions") + get(b"/users/x"), [200, 200, 404], KEPT),
]

EOF_TABLE = [
    row("nothing", b"", *SILENT),
    row("half a request line", b"GET /us", *SILENT),
    row("half a head", b"GET /users HTTP/1.1\r\nHost: x\r\n", *SILENT),
    row("a body shorter than its length", save(b"Content-Length: 15\r\n"), *SILENT, LATE),
    row("half a chunk", chunked(b"f\r\n" + USER), *SILENT, LATE),
    row("no last chunk", chunked(b"e\r\n" + USER + b"\r\n"), *SILENT, LATE),
    row("no end of the trailers", chunked(b"e\r\n" + USER + b"\r\n0\r\n"), *SILENT, LATE),
]

saves = []


# The last test counts what all of them have saved.
pytestmark = pytest.mark.xdist_group("http_raw")


@pytest.fixture(scope="module")
def service(shared_world):
    """No deadline of a connection ends one here."""
    return shared_world.patient_user_service(*FAR).wait_ready()


@pytest.fixture(scope="module")
def impatient_service(shared_world):
    return shared_world.patient_user_service("--idle-timeout", "1s", "--request-timeout", "1s").wait_ready()


@pytest.fixture(scope="module")
def session_service(shared_world):
    return shared_world.session_service("--queue", shared_world.queue + ".other", *FAR)


def judge(port, parts, outcomes, **options):
    exchange = Exchange(port, parts, **options)
    assert (exchange.statuses, exchange.fate) in outcomes, exchange.got[:2000]
    saves.append(exchange.got.count(b'{"success":true,"data"'))


def test_the_table_is_large_enough():
    assert len(TABLE) >= 120
    assert len({one.id for one in TABLE}) == len(TABLE)


@pytest.mark.parametrize("data, outcomes", TABLE)
def test_at_once(service, data, outcomes):
    judge(service.port, [data], outcomes)


@pytest.mark.parametrize("data, outcomes", [one for one in TABLE if len(one.values[0]) < 600])
def test_byte_by_byte(service, data, outcomes):
    """Where a packet ends must not matter."""
    judge(service.port, [data[i:i + 1] for i in range(len(data))], outcomes)


@pytest.mark.parametrize("data, outcomes", EOF_TABLE)
def test_the_client_ends_in_mid_request(impatient_service, data, outcomes):
    judge(impatient_service.port, [data], outcomes, probe=None)


def test_what_was_not_answered_with_success_is_not_saved(shared_world):
    assert sum(saves) > 40
    assert shared_world.count() == sum(saves)


@pytest.mark.parametrize("data, outcomes", SESSION_TABLE)
def test_session_service(session_service, data, outcomes):
    judge(session_service.port, [data], outcomes)


def test_a_reply_to_what_is_refused_says_why(service):
    before = service.metric("http_malformed_requests_total")
    got = Exchange(service.port, [hidden(LENGTH + LENGTH)]).got
    assert b"Connection: close\r\n" in got
    assert b"application/problem+json" in got
    assert b'"detail":"Content-Length is there more than once"' in got
    assert service.metric("http_malformed_requests_total") == before + 1


def test_head_has_no_body(service):
    got = Exchange(service.port, [get(method=b"HEAD", headers=HOST + b"Connection: close\r\n")]).got
    assert b"base route" not in got and got.endswith(b"\r\n\r\n")


def test_a_client_that_waits_for_100_is_told_to_go_on(service):
    with socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE_S) as connection:
        connection.sendall(save(LENGTH + b"Expect: 100-continue\r\n", b""))
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(USER)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
