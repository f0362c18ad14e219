"""What is JSON and what is none, as bytes. The kinds of case are those of nst/JSONTestSuite and of RFC 8259.

Each case is a value, to be put where a member's value is expected."""

# Accepted as the value of a user's member.
VALUES = [
    # numbers
    b"0", b"-0", b"7", b"-7", b"42", b"-123", b"1234567890", b"9223372036854775807", b"-9223372036854775808",
    b"0.0", b"-0.0", b"0.5", b"-0.1", b"3.14159", b"123.456789", b"1e2", b"1E2", b"1e+2", b"1E+2", b"1e-2", b"1E-2",
    b"0e1", b"0e+1", b"0e-1", b"0E0", b"20e1", b"123e65", b"123.456e78", b"-1.0e+28", b"1e-999", b"-1e-999",
    b"-0." + b"0" * 77 + b"1", b"1" + b"0" * 15, b"1." + b"3" * 60,
    # names
    b"true", b"false", b"null",
    # strings
    b'""', b'" "', b'"asd"', b'"asd "', b'"a/*b*/c//d"', b'"\'"', b'"{[:,]}"', b'"\\""', b'"\\\\"', b'"\\/"', b'"/"',
    b'"\\n"', b'"\\t"', b'"a\\tb\\nc"', b'"\\\\n"', b'"\\\\u0000"', b'"\\\\\\\\"', b'"\\u000A"', b'"\\u0009"',
    b'"\\u0020"', b'"\\u0022"', b'"\\u005C"', b'"\\u002c"', b'"\\u0061\\u30af\\u30EA\\u30b9"', b'"\\u0123"',
    b'"\\u0821"', b'"\\u12AB"', b'"\\u00A0"', b'"new\\u00a0line"', b'"\\u200B"', b'"\\u2028"', b'"\\u2064"',
    b'"\\uA66D"', b'"\\uFDD0"', b'"\\uFFFE"', b'"\\uffff"', b'"\\uD801\\udc37"', b'"\\ud83d\\ude39\\ud83d\\udc8d"',
    b'"\\uD834\\uDd1e"', b'"\\uD83F\\uDFFE"', b'"\\uDBFF\\uDFFE"', b'"\\uDBFF\\uDFFF"',
    b'"\xcf\x80"', b'"\xc2\xa0"', b'"\xe2\x82\xac\xf0\x9d\x84\x9e"', b'"\xe2\x80\xa8"', b'"\xe2\x80\xa9"',
    b'"\xe2\x8d\x82\xe3\x88\xb4"', b'"\xef\xbf\xbe"', b'"\xef\xbf\xbf"', b'"\xef\xbb\xbf"', b'"\xf0\x9b\xbf\xbf"',
    b'"\xf4\x8f\xbf\xbf"', b'"\xed\x9f\xbf"', b'"\xee\x80\x80"', b'"' + b"x" * 5000 + b'"',
    # arrays
    b"[]", b"[ ]", b"[[]   ]", b"[\n]", b"[\t\r\n]", b'[""]', b"[null]", b"[true]", b"[false]", b"[1\n]", b" [1]",
    b"[2] ",
    b"[ 4]", b'[null, 1, "1", {}]', b"[1,null,null,null,2]", b'["a"]\n', b"\t[\r\n1\t,\n2\r]\n", b"[[[[[[]]]]]]",
    b"[" + b"1," * 1023 + b"1]", b"[" + b"0.1e1, " * 99 + b"0]",
    # objects
    b"{}", b"{ }", b" {}\n", b'{"":0}', b'{"a":[]}', b'{"a":"b"}', b'{"a":"b", "c":"d"}', b'{"a" : "b" }',
    b'{\n"a": "b"\n}',
    b'{"a":{"a":{"a":{}}}}', b'{"a":1,"A":2}', b'{"a":[{"a":null}]}', b'{ "min": -1.0e+28, "max": 1.0e+28 }',
    b'{"title":"\\u041f\\u043e\\u043b"}', b'{"x":[{"id": "' + b"x" * 40 + b'"}], "ids": "' + b"x" * 40 + b'"}',
    b'{"\xcf\x80":1}', b'{"\\u00e9":1}', b'{"a\\"b":1}',
]

# JSON, and refused by a rule of the contract that is told: no member twice, no control character but tab and newline,
# no U+0000, numbers that fit, at most so deep and so many. Each with a piece of the detail.
TWICE, CONTROL, ZERO = "has this member already", "control character", "U+0000"
LARGE, WIDE = "a number is too large", "does not fit in 64 bits"
REFUSED_BY_A_RULE = [
    (b'{"a":"b","a":"c"}', TWICE), (b'{"a":"b","a":"b"}', TWICE), (b'{"a":1,"\\u0061":1}', TWICE),
    (b'[{"x":{"a":1,"b":2,"a":3}}]', TWICE), (b'{"":1,"":2}', TWICE),
    (b'"\\"\\\\\\/\\b\\f\\n\\r\\t"', CONTROL), (b'"\\b"', CONTROL), (b'"\\f"', CONTROL), (b'"\\r"', CONTROL),
    (b'"\\u0012"', CONTROL), (b'"\\u001F"', CONTROL), (b'"\\u007f"', CONTROL), (b'"\\u0085"', CONTROL),
    (b'"\x7f"', CONTROL), (b'["a\x7fa"]', CONTROL), (b'"\xc2\x80"', CONTROL), (b'{"a\\rb":1}', CONTROL),
    (b'"\\u0000"', ZERO), (b'{"foo\\u0000bar":42}', ZERO), (b'"a\\u0000"', ZERO),
    (b"9223372036854775808", WIDE), (b"-9223372036854775809", WIDE), (b"1" + b"0" * 40, WIDE),
    (b"1e400", LARGE), (b"-1e400", LARGE), (b"0.4e" + b"0" * 60 + b"669999999999999999999", LARGE), (b"-123123e100000", LARGE),
    (b"[" * 8 + b"]" * 8, "deeper than"), (b"[" * 500 + b"]" * 500, "deeper than"),
    (b"[" + b"1," * 1024 + b"1]", "more than 1024 elements"),
]

# Numbers that are none, alone and in an array.
NO_NUMBERS = [
    b"+1", b"++1", b"-", b"--1", b"- 1", b"-foo", b"-x", b"01", b"012", b"-01", b"-012", b"00", b"-00", b"0x1",
    b"0x42",
    b"0o7", b"0b1", b"1.", b"-2.", b"2.e3", b"2.e+3", b"2.e-3", b"0.e1", b"9.e+", b".1", b"-.1", b".2e-3", b".-1",
    b"-1.0.",
    b"0.1.2", b"1..2", b"1e", b"1E", b"1e+", b"1e-", b"0e", b"0E", b"0e+", b"0E+", b"0.3e", b"0.3e+", b"1.0e",
    b"1.0e-", b"1.0e+",
    b"1eE2", b"1e2e3", b"0e+-1", b"1e1.5", b"1ea", b"1 000.0", b"1_000", b"1,000", b"1'000", b"1+2", b"1-", b"1a",
    b"-1x",
    b"1.2a-3", b"1.8011670033376514H-308", b"-123.123foo", b"1f", b"1L", b"$1", b"1%", b"NaN", b"-NaN", b"Inf",
    b"+Inf", b"-Inf",
    b"Infinity", b"-Infinity", b"\xef\xbc\x91", b"\xd9\xa1", b"0\xe5", b"123\xe5", b"1e1\xe5", b"1e\xe5",
]

# Words that are none of the three.
NO_NAMES = [
    b"tru", b"fals", b"nul", b"truth", b"True", b"TRUE", b"False", b"NULL", b"Null", b"nil", b"None", b"undefined",
    b"yes",
    b"truefalse", b"true1", b"nulll", b"a", b"abc", b"a\xc3\xa5", b"\xc3\xa9", b"\xc3\xa5", b"*", b"<.>", b"<null>",
    b"@", b"\\n",
    b"\\u0020", b"&", b"#", b"`a`", b"$", b"(1)", b"new Date()",
]

# Strings that are none.
NO_STRINGS = [
    b'"', b'"a', b"'", b"'a'", b"'single quote'", b'"\'', b'"\\', b'"\\"', b'"\\\\\\"', b'"\\a"', b'"\\x00"',
    b'"\\0"', b'"\\v"',
    b'"\\\'"', b'"\\ "', b'"\\U0061"', b'"\\UA66D"', b'"\\u"', b'"\\u1"', b'"\\u12"', b'"\\u00A"', b'"\\uqqqq"',
    b'"\\u 061"', b'"\\u+061"',
    b'"\\u-061"', b'"\\u{61}"', b'"\\u\xe5"', b'"\\\xe5"', b'"\\\t"', b'"\\\n"', b'"\\\xf0\x9f\x8c\x80"',
    b'"new\nline"', b'"\t"', b'"\r"',
    b'"\r\n"', b'"\x01"', b'"\x1f"', b'"\x0b"', b'"a\x1bb"', b'\\u0020"asd"', b'\\u000A""', b'"\\n', b'""x',
    b'"a" "b"', b'"a""b"', b'"a"+"b"',
    b'"\\ud800"', b'"\\udc00"', b'"\\ud800x"', b'"\\uD800\\"', b'"\\uD800\\u"', b'"\\uD800\\u1"', b'"\\uD800\\u1x"',
    b'"\\uD800\\uD800\\x"', b'"\\uD800\\uD800"', b'"\\uDC00\\uD800"', b'"\\uD834\\uDd"', b'"\\uD800\\n"',
    b'"\\uD800\\u0061"', b"\"a'", b'a"',
    # not UTF-8
    b'"\xff"', b'"\xfe"', b'"\x80"', b'"\x81"', b'"\xc3"', b'"\xc3("', b'"\xe0\xff"', b'"\xe2\x82"',
    b'"\xf0\x9d\x84"', b'"\xc0\xaf"', b'"\xc1\x81"',
    b'"\xe0\x80\xaf"', b'"\xf0\x80\x80\xaf"', b'"\xc0\x80"', b'"\xed\xa0\x80"', b'"\xed\xbf\xbf"',
    b'"\xf4\x90\x80\x80"', b'"\xf5\x80\x80\x80"',
    b'"\xfc\x80\x80\x80\x80\x80"', b'"\xfc\x83\xbf\xbf\xbf\xbf"', b'"\xfb\xbf\xbf\xbf\xbf"',
    b'"\xe6\x97\xa5\xd1\x88\xfa"',
    # another encoding
    '"é"'.encode("utf-16-le"), '"é"'.encode("utf-16-be"), '"é"'.encode("utf-16"), '["a"]'.encode("utf-32-le"), '"é"'.encode("latin-1"),
]

# Arrays and objects that are none.
NO_CONTAINERS = [
    b"[", b"]", b"[]]", b"[1", b"[1,", b"[1,]", b"[1,,]", b"[1,,2]", b"[,1]", b"[,]", b"[,", b"[   , \"\"]",
    b'["x",,]', b'["x"', b"[x", b"[x]", b"1]",
    b'["x"]]', b"[1 true]", b"[1 2]", b"[3[4]]", b"[1:2]", b'["": 1]', b"[1;2]", b"[1}", b"[{}", b"[{", b"[{]}",
    b"[][]", b"[],[]", b"[1]x",
    b'[""],', b"[a\xe5]", b"[\xff]", b"[\xe2\x81\xa0]", b"[\x0c]", b"[\x0b]", b"[\xc2\xa0]", b"['", b"['a']",
    b'["a', b'["asd]', b'["\x0ba"\\f]', b"[1,\n1\n,1",
    b'["a",\n4\n,1,', b"[ false, nul", b"[ true, fals", b"[ false, tru", b"[...]", b"[1/**/]", b"[1 // one\n]",
    b"[#1\n]",
    b"{", b"}", b"{}}", b"{]", b"{,", b"{,}", b"{[", b"{[: 1}", b'{"a', b'{"a"', b'{"a":', b'{"":', b'{"a"}',
    b'{"a":}', b'{"a":"a', b'{"a":"a"', b'{"a":1,', b'{"a":1,}',
    b'{"a":1,,}', b'{"a":1,,"b":2}', b'{"a" 1}', b'{"a" "b"}', b'{"a" b}', b'{"a"::1}', b'{"a":1:2}', b'{"a"=1}',
    b'{"a"=>1}', b'{"a",1}', b'{"a":1 2}', b'{"a":1 "b":2}',
    b'{"a":1;"b":2}', b'{:"b"}', b'{"a":1, "b"}', b'{"a":1, 2}', b"{1:1}", b"{9999E9999:1}", b"{null:null}",
    b"{true:1}", b"{[]:1}", b"{a: 1}", b"{a:1}", b"{'a':1}",
    b"{'a'", b"{key: 'value'}", b"{\xf0\x9f\x87\xa8\xf0\x9f\x87\xad}", b'{"\xb9":"0",}', b'{"\xff":1}',
    b'{"a\nb":1}', b'{"\\ud800":1}', b'{"\\x":1}', b'{"a":1} "x"',
    b'{"a":1}x', b'{"a":1}#', b'{"a":1}#{}', b'{"a":1}/', b'{"a":1}//', b'{"a":1}/**/', b'{"a":1}/**//',
    b'{"a":/*c*/1}', b'{/*c*/"a":1}', b'{"a":1 /*', b'{} {}', b"{},{}",
    b'{"a":1}}', b"{{}}", b"{[]}", b'{"a":[}', b'{"a":{]}',
    b'["\\{' * 4, b"[" * 2000, b"[" * 30000, b'[{"":' * 8000,
    # nothing, white space that is none, and marks of an encoding
    b"", b" ", b"\n\n", b"\x0c", b"\x0b", b"\xc2\xa0", b"\xe2\x80\xa8", b"\xe2\x81\xa0", b"\xef\xbb\xbf",
    b"\xef\xbb\xbf\xef\xbb\xbf{}", b"\xef\xbb{}", b"\xe5", b"\xe9",
    b"2@", b"/", b"//", b"/**/", b"/* c */ 1", b"// c\n1", b":", b",", b"1,", b",1", b"1 2", b'1"a"', b"1true",
    b"null null", b";", b"1;",
]

# A NUL byte, wherever it is. The first four are dropped by parsers that then go on.
NULS = [
    b"1\0", b"true\0", b"false\0", b"null\0", b"123\0", b"-1\0", b"1.5\0", b"1e2\0", b"0\0", b"\0", b"\0" * 10,
    b"\0" + b"1", b"1\0" * 3, b"1\0" + b"2", b"1\0 ", b"1 \0",
    b"[\0]", b"[1\0]", b"[1\0,2]", b"[null\0]", b"[1,\0 2]", b"[]\0", b"{}\0", b"{\0}", b'{"a":1\0}',
    b'{"a":true\0,"b":2}', b'{"a"\0:1}', b'{\0"a":1}', b'{"a":\0' + b"1}",
    b'{"a":[false\0]}', b'{"a\0":1}', b'"\0"', b'"a\0a"', b'"a\0"', b'"\\\0"', b'""\0', b'"\\u00\0' + b'0"',
    b"tr\0ue", b"1\0" + b"000", b"\\0\0",
]


def _in_arrays(cases):
    return cases + [b"[" + case + b"]" for case in cases]


REFUSED = _in_arrays(NO_NUMBERS) + _in_arrays(NO_NAMES) + NO_STRINGS + NO_CONTAINERS + NULS


def in_user(value):
    """The text of a user whose member `v` has this value."""
    return b'{"name":"Ada","v":' + value + b"}"
