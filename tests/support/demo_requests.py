"""The requests by which docs/migrating.md compares the user-service with the Node.js demo: what each of them replies,
what is on the queue then, and what the page says of the difference."""

import gzip
import json
from collections import namedtuple

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"

# What is on the queue with --compat demo, beside what the demo puts there.
NOTHING, SAME, WITH_ID, OTHER = "nothing", "the same", "the same, and an `id`", "another message"

# A reply is a status, and the type of the problem where there is one. `demo_message` is the demo's, None for none.
Request = namedtuple("Request", "what method path headers body demo plain compat message note demo_message")

KEPT = object()  # the demo's message is the body as it came
NO = "cannot be relaxed: "


def request(what, body, demo, plain, compat=None, note="", message=SAME, media_type=JSON, path="/users/save", method="POST",
            demo_message=KEPT, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    if media_type is not None:
        headers["Content-Type"] = media_type
    body = body if isinstance(body, bytes) else body.encode()
    compat = compat or plain
    if demo_message is KEPT:
        demo_message = json.loads(body) if demo == "200" and method == "POST" else None
    if compat != "200" or method != "POST":
        message = NOTHING
    return Request(what, method, path, headers, body, demo, plain, compat, message, note, demo_message)


REQUESTS = [
    request("a user with an `id`", '{"id":7,"name":"Ada"}', "200", "200"),
    request("a user without an `id`", '{"name":"Ada","email":"ada@example.org"}', "200", "200", message=WITH_ID,
            note=NO + "the session-service knows a user by the `id`"),
    request("a form", "id=7&name=Ada+L%C3%B6velace", "200", "200", media_type=FORM,
            demo_message={"id": "7", "name": "Ada L\u00f6velace"}),
    request("a `password`, or another name of a secret", '{"id":7,"name":"Ada","password":"x"}', "200", "422 invalid-user",
            "200", "`--refused-members` with an empty list"),
    request("none of `id`, `email`, `username`, `name`", '{"age":36}', "200", "422 invalid-user", "200",
            "`--user-check relaxed`", WITH_ID),
    request("an empty object", "{}", "200", "422 invalid-user", "200", "`--user-check relaxed`", WITH_ID),
    request("a known member of another type or form", '{"id":7,"name":5,"email":"nobody"}', "200", "422 invalid-user", "200",
            "`--user-check relaxed`"),
    request("a body of 80 KB", json.dumps({"id": 7, "text": "x" * 80000}), "200", "413 body-too-large", "200",
            "`--max-body-bytes 100KiB`"),
    request("a body of 110 KB", json.dumps({"id": 7, "text": "x" * 110000}), "413", "413 body-too-large",
            note="`--max-body-bytes`"),
    request("nested objects and arrays", '{"id":7,"tags":["a",{"b":[1,2]}],"address":{"city":"London"}}', "200", "200"),
    request("a byte order mark before the JSON", b'\xef\xbb\xbf{"id":7}', "200", "200", demo_message={"id": 7}),
    request("a slash at the end of the path", '{"id":7}', "200", "200", path="/users/save/"),
    request("an array", '[{"id":7}]', "200", "422 not-an-object", note=NO + "an array is no user"),
    request("a string, a number, a boolean or null", '"Ada"', "400", "422 not-an-object", note=NO + "it is no user"),
    request("malformed JSON", '{"id":7', "400", "400 malformed-json"),
    request("an empty body", "", "200", "400 malformed-json", note=NO + "there is nothing to save", demo_message={}),
    request("no `Content-Type`, or another one", '{"id":7}', "500", "415 unsupported-media-type", media_type="text/plain",
            note=NO + "the meaning of the body would be guessed"),
    request("a `Content-Type` that ends with `+json`", '{"id":7}', "500", "200", message=OTHER,
            media_type="application/vnd.api+json", note="the demo does not take it"),
    request("JSON sent as a form", '{"id":7}', "200", "415 unsupported-media-type", media_type=FORM,
            note=NO + "the demo takes the JSON for the name of a member", demo_message={'{"id":7}': ""}),
    request("a form with brackets in a name", "id=7&address[city]=London", "200", "200", message=OTHER, media_type=FORM,
            note=NO + "the name stays as it came; send JSON", demo_message={"id": "7", "address": {"city": "London"}}),
    request("a form with a name twice", "id=7&tag=a&tag=b", "200", "400 malformed-form", media_type=FORM,
            note=NO + "only JSON has lists", demo_message={"id": "7", "tag": ["a", "b"]}),
    request("a form with a `%` that encodes nothing", "id=7&share=50%", "200", "400 malformed-form", media_type=FORM,
            note=NO + "nobody knows what was meant", demo_message={"id": "7", "share": "50%"}),
    request("a compressed body", gzip.compress(b'{"id":7}'), "200", "415 unsupported-media-type", Content_Encoding="gzip",
            note=NO + "a small body can unfold to a very large one", demo_message={"id": 7}),
    request("JSON in UTF-16", '{"id":7}'.encode("utf-16-le"), "200", "415 unsupported-media-type",
            media_type="application/json; charset=utf-16le", note=NO + "JSON between programs is UTF-8 (RFC 8259)",
            demo_message={"id": 7}),
    request("a member that is there twice", '{"id":7,"name":"Ada","name":"Eve"}', "200", "400 malformed-json",
            note=NO + "readers differ in which one they take"),
    request("a number that is too large (1e400)", '{"id":7,"n":1e400}', "200", "422 number-out-of-range",
            note=NO + "the demo makes null of it", demo_message={"id": 7, "n": None}),
    request("an integer beyond 2^53", '{"id":7,"n":9007199254740993}', "200", "200", message=OTHER,
            note=NO + "numbers stay exact; the demo rounds them", demo_message={"id": 7, "n": 9007199254740992}),
    request("a control character in a text", '{"id":7,"name":"a\\u0001"}', "200", "422 invalid-user",
            note=NO + "it would reach logs and terminals"),
    request("the character U+0000 in a text", '{"id":7,"name":"a\\u0000"}', "200", "400 malformed-json",
            note=NO + "many readers end a text there"),
    request("more than 8 levels", '{"id":7,"x":' + "[" * 9 + "]" * 9 + "}", "200", "422 invalid-user",
            note=NO + "every reader has to walk them"),
    request("more than 64 members in an object", json.dumps(dict({"m%d" % n: n for n in range(70)}, id=7)), "200",
            "422 invalid-user", note=NO + "every member is checked"),
    request("a form of a page of another origin, without tokens", "id=7", "200", "403 foreign-origin", media_type=FORM,
            Origin="https://app.example.org", demo_message={"id": "7"},
            note="`--cors-origin`, or `--auth-token-file`: any page that somebody opens could save otherwise"),
    request("a path in upper case", '{"id":7}', "200", "404 not-found", path="/USERS/SAVE",
            note=NO + "paths are compared as they are"),
    request("`GET /users`", "", "200", "200", media_type=None, path="/users", method="GET"),
    request("`GET /users/save`", "", "404", "405 method-not-allowed", media_type=None, path="/users/save", method="GET",
            note=NO + "405 is exact"),
    request("an unknown path", "", "404", "404 not-found", media_type=None, path="/nothing", method="GET"),
]


def cells(reply):
    """A reply as the page shows it."""
    status, _, problem = reply.partition(" ")
    return "%s `%s`" % (status, problem) if problem else status


def page_rows():
    return ["| %s | %s | %s | %s | %s | %s |" % (one.what, one.demo, cells(one.plain), cells(one.compat),
                                               one.message, one.note) for one in REQUESTS]
