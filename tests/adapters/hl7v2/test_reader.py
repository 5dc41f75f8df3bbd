"""The reader: line ends, delimiters, escapes, character sets."""

from __future__ import annotations

import pytest

from adapters.hl7v2.errors import UnusableMessage
from adapters.hl7v2.reader import DELETE, header, read

MSH = "MSH|^~\\&|APP|FAC|||20261101083000||ADT^A08|1|P|2.5"


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_segments_end_with_any_line_end(end: str) -> None:
    message = read(end.join([MSH, "EVN|A08", "PID|1||7", ""]).encode())
    assert [line[:3] for line in message.lines] == ["MSH", "EVN", "PID"]
    assert message.field("PID", 3) == "7"


def test_a_line_feed_inside_a_note_does_not_end_a_segment() -> None:
    message = read(f"{MSH}\rNTE|1||first\nsecond\rPID|1||7\r".encode())
    assert message.field("NTE", 3) == "first\nsecond"
    assert message.field("PID", 3) == "7"


def test_a_segment_after_a_single_line_feed_is_not_lost() -> None:
    message = read(f"{MSH}\rPID|1||7\nZCP|1|DNC\r".encode())
    assert message.field("ZCP", 2) == "DNC"
    assert message.field("PID", 3) == "7"


@pytest.mark.parametrize("before", [b"", b"\x0b", b"\xef\xbb\xbf", b"\r\n  ", b"\x00\x0b\xef\xbb\xbf", b"FHS|^~\\&|A\rBHS|^~\\&|B\r"])
@pytest.mark.parametrize("after", [b"", b"\x1c\r", b"\x1c\r\n", b"\x00\x00", b"\r\n\r\n"])
def test_bytes_around_a_message_are_not_part_of_it(before: bytes, after: bytes) -> None:
    message = read(before + f"{MSH}\rPID|1||7".encode() + after)
    assert message.lines[0] == MSH
    assert message.lines[-1] == "PID|1||7"


def test_delimiters_come_from_the_message() -> None:
    message = read(b"MSH#*!/@#APP#FAC###20261101##ADT*A08#1#P#2.5\rPID#1##7***GEN@1.2@ISO!8#a/F/b/S/c/T/d/R/e/E/f\r")
    assert message.delimiters[:5] == ("#", "*", "!", "/", "@")
    assert message.field("MSH", 9) == "ADT*A08"
    assert message.unescape(message.field("PID", 4)) == "a#b*c@d!e/f"


def test_a_doubled_backslash_is_one_escape_character() -> None:
    message = read(b"MSH|^~\\\\&|APP\rPID|1||7^^^GEN&1.2&ISO\r")
    assert message.delimiters[:5] == ("|", "^", "~", "\\", "&")


def test_a_short_msh_2_leaves_the_other_delimiters_undefined() -> None:
    message = read(b"MSH|^~|APP\rPID|1||a\\F\\b&c\r")
    assert message.unescape(message.field("PID", 3)) == "a\\F\\b&c"


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        ("MSH||APP|FAC", "delimiters_missing"),
        ("MSH", "delimiters_missing"),
        ("MSHX^~\\&X", "delimiters_missing"),
        ("MSH|^^\\&|APP", "delimiters_invalid"),
        ("MSH|^~\\|&|", None),
        ("MSH|a~\\&|APP", "delimiters_invalid"),
        ("PID|1||7", "not_hl7"),
        ("hello", "not_hl7"),
        ("MSH-7 is a field", "delimiters_invalid"),
    ],
)
def test_an_odd_header_is_read_or_refused_with_its_reason(start: str, reason: str | None) -> None:
    if reason is None:
        assert read(start.encode()).lines
        return
    with pytest.raises(UnusableMessage) as refusal:
        read(f"{start}\rPID|1||98765".encode())
    assert refusal.value.reason == (reason or "not_hl7")
    assert "98765" not in str(refusal.value)


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        ("Smith \\T\\ Sons", "Smith & Sons"),
        ("a\\.br\\b", "a\nb"),
        ("\\H\\loud\\N\\", "loud"),
        ("\\X4A6F\\", "Jo"),
        ("\\XC3A9\\", "é"),
        ("\\P\\", "#"),
        ("\\Z99\\ \\Q\\", "\\Z99\\ \\Q\\"),
        ("\\X4\\", "\\X4\\"),
        ("\\Xzz\\", "\\Xzz\\"),
        ("C:\\temp", "C:\\temp"),
        ("a\\E\\F\\E\\b", "a\\F\\b"),
        ("a\\b\\F\\c", "a\\b|c"),
        ("", ""),
    ],
)
def test_escapes_are_decoded_and_unknown_ones_kept(escaped: str, text: str) -> None:
    assert read(f"{MSH}\r".encode()).unescape(escaped) == text


def test_a_field_is_a_value_or_empty_or_deleted() -> None:
    message = read(f'{MSH}\rPID|1||7|""\r'.encode())
    assert (message.field("PID", 3), message.field("PID", 4), message.field("PID", 5)) == ("7", DELETE, "")
    assert message.field("PD1", 12) == ""


def test_the_header_is_read_from_a_message_that_cannot_be_decoded() -> None:
    found = header(b"\x0bMSH|^~\\&|B\xc4R|F\r\xff\xfe")
    assert found is not None
    assert found[1][3] == "B\xc4R"
    assert header(b"nothing") is None


def decoded(msh_18: str, text: bytes, **options: str) -> str:
    raw = f"{MSH}||||||{msh_18}\rPID|1||".encode() + text + b"\r"
    message = read(raw, **options)
    return message.unescape(message.field("PID", 3))


@pytest.mark.parametrize(
    ("msh_18", "codec"),
    [
        ("8859/1", "latin-1"),
        ("8859/15", "iso8859-15"),
        ("8859/2~ISO IR87", "iso8859-2"),
        ("UNICODE UTF-8", "utf-8"),
        ("UNICODE", "utf-8"),
        ("UTF-8", "utf-8"),
        ("windows-1252", "cp1252"),
        ("", "utf-8"),
        ("ASCII", "utf-8"),
    ],
)
def test_text_is_decoded_as_msh_18_declares(msh_18: str, codec: str) -> None:
    assert decoded(msh_18, "Zoë".encode(codec)) == "Zoë"


def test_japanese_by_escape_sequences_is_decoded() -> None:
    assert decoded("ISO IR87", "山田".encode("iso2022_jp")) == "山田"
    assert decoded("GB 18030-2000", "山田".encode("gb18030")) == "山田"


@pytest.mark.parametrize("msh_18", ["", "UNICODE UTF-8", "ASCII", "NO SUCH SET"])
def test_undecodable_bytes_are_refused_and_never_replaced(msh_18: str) -> None:
    with pytest.raises(UnusableMessage) as refusal:
        decoded(msh_18, b"Zo\xeb")
    assert refusal.value.reason == "undecodable"
    assert decoded(msh_18, b"Zo\xeb", fallback="8859/1") == "Zoë"


def test_a_configured_charset_overrides_msh_18() -> None:
    assert decoded("8859/1", "Zoë".encode(), charset="UNICODE UTF-8") == "Zoë"
    with pytest.raises(UnusableMessage):
        decoded("8859/1", b"Zo\xeb", charset="UNICODE UTF-8", fallback="8859/1")


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf_16_and_utf_32_are_detected_by_their_bytes(codec: str) -> None:
    assert read(f"{MSH}\rPID|1||Zoë\r".encode(codec)).field("PID", 3) == "Zoë"


def test_a_hexadecimal_escape_is_in_the_character_set_of_the_message() -> None:
    raw = f"{MSH}||||||8859/1\rPID|1||\\XEB\\\xeb\r".encode("latin-1")
    message = read(raw)
    assert message.unescape(message.field("PID", 3)) == "ëë"
    with pytest.raises(UnusableMessage) as refusal:
        read(f"{MSH}\r".encode()).unescape("\\XFF\\")
    assert refusal.value.reason == "undecodable"


def test_a_hexadecimal_escape_in_ascii_text_uses_the_character_set_of_msh_18() -> None:
    message = read(f"{MSH}||||||8859/1\rPID|1||\\XEB\\\r".encode())
    assert message.unescape(message.field("PID", 3)) == "ë"
    message = read(f"{MSH}||||||\rPID|1||\\XC3AB\\\r".encode())
    assert message.unescape(message.field("PID", 3)) == "ë"


@pytest.mark.parametrize(
    ("msh_18", "codec", "text"),
    [
        ("GB 18030-2000", "gb18030", "王小明"),
        ("BIG-5", "big5", "王小明"),
        ("KS X 1001", "euc_kr", "홍길동"),
        ("~ISO IR87", "iso2022_jp", "山田太郎"),
        ("ISO IR87", "iso2022_jp", "山田太郎"),
        ("~ISO IR159", "iso2022_jp_1", "山田丂"),
        ("Shift_JIS", "shift_jis", "山田太郎"),
        ("EUC-JP", "euc_jp", "山田太郎"),
        ("8859/5", "iso8859-5", "Иван"),
        ("8859/13", "iso8859-13", "Žemaitė"),
    ],
)
def test_the_multibyte_sets_of_table_0211_are_read(msh_18: str, codec: str, text: str) -> None:
    assert decoded(msh_18, text.encode(codec)) == text


def test_escapes_that_switch_the_character_set_are_decoded() -> None:
    message = read(f"{MSH}||||||~ISO IR87\rPID|1||Yamada \\M2442\\;3ED\\C2842\\ Taro\r".encode())
    assert message.unescape(message.field("PID", 3)) == "Yamada 山田 Taro"


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        ("a\\.sp2\\b", "a\n\nb"),
        ("a\\.in+4\\b", "ab"),
        ("a\\.ce\\b", "a\nb"),
        ("\\.nf\\a\\.fi\\", "a"),
        ("\\Zx1\\", "\\Zx1\\"),
        ("a\\.spx\\", "a\\.spx\\"),
    ],
)
def test_formatting_becomes_plain_text(escaped: str, text: str) -> None:
    assert read(f"{MSH}\r".encode()).unescape(escaped) == text


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_utf_16_is_read_even_if_each_byte_is_ascii(codec: str) -> None:
    body = ("MSH|^~\\&|A|B|||20261101||ADT^A08|1|P|2.5\rPID|||1\r").encode(codec)
    assert body.isascii()
    assert read(body).field("PID", 3) == "1"


def test_blank_lines_and_lines_that_begin_with_blanks_are_segments_like_others() -> None:
    message = read(f"{MSH}\r\r  \r PID|1||7\r\tZCP|1|DNC\r".encode())
    assert (message.lines[1:], message.oddity) == (["PID|1||7", "ZCP|1|DNC"], "")
    assert (message.field("PID", 3), message.field("ZCP", 2)) == ("7", "DNC")


def test_segments_of_one_name_are_found_wherever_they_stand() -> None:
    message = read(f"{MSH}\rNK1|1|A\rPID|1||7\rNK1|2|B\r".encode())
    assert [fields[2] for fields in message.segments("NK1")] == ["A", "B"]
    assert (message.count("NK1"), message.count("MSH"), message.count("MRG")) == (2, 1, 0)
    assert message.names == ("MSH", "NK1", "PID")


@pytest.mark.parametrize(("text", "unescaped"), [("a\\F\\b ", "a|b"), ("\\E\\", "\\"), ("a\\b", "a\\b"), ('""', ""), (" a ", "a")])
def test_texts_are_unescaped_and_trimmed(text: str, unescaped: str) -> None:
    assert read(f"{MSH}\rPID|||{text}\r".encode()).texts([text]) == [unescaped]
