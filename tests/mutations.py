"""Files made worse: ways to damage bytes, any or those of a format that is known.

Each mutation takes a `random.Random`, the content of a good file, and returns what it made of it. Those of a
format keep most of the file in order, so that what they damage is reached.
"""

import gzip
import io
import json
import pickle
import pickletools
import struct
import tarfile
import tomllib
import zipfile
import zlib

HUGE = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1)
WORDS = (
    *(0, -1, 1, 3, 255, 2**31, 2**63, 2**64, 10**30, 1.5, 1e308, float("nan"), float("inf"), True, None),
    *("", "x", "\n", "\ud800", "F64", "I8", "none", "0" * 300, [], {}, [1], [[]], {"a": 1}, [-1, 5], [2**62]),
)
"""Numbers and other values that readers tend to trip over."""


# Bytes of any kind


def flip(rng, content):
    for _ in range(rng.choice((1, 1, 2, 8))):
        place = rng.randrange(len(content))
        content[place] ^= 1 << rng.randrange(8)


def overwrite(rng, content):
    place = rng.randrange(len(content))
    content[place] = rng.choice((0, 255, 10, 13, 34, rng.randrange(256)))


def number(rng, content):
    form = rng.choice("BHIQ")
    packed = struct.pack(rng.choice("<>") + form, rng.choice(HUGE) % 2 ** (8 * struct.calcsize("<" + form)))
    place = rng.randrange(len(content))
    content[place : place + len(packed)] = packed


def truncate(rng, content):
    del content[rng.randrange(len(content)) :]


def cut(rng, content):
    start, end = span(rng, content)
    del content[start:end]


def insert(rng, content):
    place = rng.randrange(len(content) + 1)
    content[place:place] = rng.choice((b"\0", b"\n", b"[", b'"', rng.randbytes(rng.choice((1, 4, 64)))))


def duplicate(rng, content):
    start, end = span(rng, content)
    place = rng.randrange(len(content) + 1)
    content[place:place] = content[start:end]


def swap(rng, content):
    start, end = span(rng, content)
    middle = rng.randint(start, end)
    content[start:end] = content[middle:end] + content[start:middle]


def zero(rng, content):
    start, end = span(rng, content)
    content[start:end] = bytes(end - start)


def span(rng, content):
    start = rng.randrange(len(content))
    return start, min(len(content), start + 2 ** rng.randrange(1, 14))


ANYWHERE = (flip, overwrite, number, truncate, cut, insert, duplicate, swap, zero)


def anything(rng, content, others=()):
    """Damage bytes somewhere one to four times, most often near the start, where headers are."""
    content = bytearray(content)
    if others and rng.random() < 0.08:  # spliced with a file of another kind, or all of that
        other = rng.choice(others)
        place = rng.choice((0, rng.randrange(len(content) + 1)))
        content[place:] = other[rng.choice((0, rng.randrange(len(other)))) :]
    for _ in range(rng.choice((0, 1, 2, 4)) if others else 1):
        if not content:
            break
        if rng.random() < 0.5:
            head = content[: rng.choice((16, 64, 512))]
            rest = content[len(head) :]
            rng.choice(ANYWHERE)(rng, head)
            content = head + rest
        else:
            rng.choice(ANYWHERE)(rng, content)
    return bytes(content)


# Text with a structure


def change_json(rng, value):
    """Change one leaf or branch of what JSON holds."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        what = rng.random()
        if what < 0.1:
            return {k: v for k, v in value.items() if k != key}
        if what < 0.2:
            return {f"{k}x" if k == key else k: v for k, v in value.items()}
        return {**value, key: change_json(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.7:
        place = rng.randrange(len(value))
        return [*value[:place], change_json(rng, value[place]), *value[place + 1 :]]
    if isinstance(value, int | float) and rng.random() < 0.3:
        return rng.choice((-value, value + 1, 2 * value, str(value)))
    return rng.choice(WORDS)


def settings_json(rng, content):
    if rng.random() < 0.1:
        return rng.choice(
            (
                b"[" * 10**5,
                b'{"seed": ' + b"9" * 5000 + b"}",
                b'{"a":' * 10**5,
                b'{"%s": 1}' % (b"k" * 5000),
                b"NaN",
                b'"\\ud800"',
            )
        )
    return json.dumps(change_json(rng, json.loads(content))).encode()


def settings_toml(rng, content):
    """Change a value or a line."""
    lines = content.decode().splitlines()
    place = rng.randrange(len(lines))
    key = lines[place].partition(" = ")[0]
    lines[place] = rng.choice(
        (
            *(f"{key} = {json.dumps(rng.choice(WORDS))}" for _ in range(8)),
            *(f"{key} = {text}" for text in ("nan", "-inf", "1979-05-27", "0x7fffffffffffffff", "9" * 5000)),
            *(
                f"{key} = {text}"
                for text in ("[" * 10**4, "{a = " * 10**4, '"""\n' * 3, "1_0", "'\x85'", "0x" + "f" * 5000)
            ),
            *(
                f"[{key}]",
                f"[[{key}]]",
                f"{key}.{key} = 1",
                "." * 5000,
                "a." * 3000 + "b = 1",
                "k" * 5000 + " = 1",
                f"{key} = " + "9" * 4000,
                lines[place - 1],
            ),
        )
    )
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def table(rng, content):
    """Change fields of a CSV file."""
    lines = [line.split(b",") for line in content.splitlines()]
    for _ in range(rng.choice((1, 3))):
        line = rng.choice(lines)
        line[rng.randrange(len(line))] = rng.choice(
            (b"nan", b"inf", b"1e999", b"0x1F", b"1_000", b"", b'"', b'"1"', b" 1 ", b"1 2", b"1;2", b"\0",
             b"9" * 5000, b"\xe2\x80\xa8", "٣".encode(), b"1j", b"True", b"\xff", b"x" * 10**5, b"1,2", b"\r",
             b"=1+1", b"#", b"1e300")
        )  # fmt: skip
    return rng.choice((b"\n", b"\r\n", b"\r")).join(b",".join(line) for line in lines)


# safetensors


def safetensors(rng, content, rehash=None):
    """Change the header: lengths, dtypes, shapes, offsets, names, what its metadata says.

    ``rehash`` returns the description with the checksum that would be right.
    """
    (size,) = struct.unpack("<Q", content[:8])
    header, body = json.loads(content[8 : 8 + size]), content[8 + size :]
    what = rng.random()
    if what < 0.1:
        return struct.pack("<Q", rng.choice((*HUGE, size - 1, size + 1, len(content)))) + content[8:]
    if what < 0.5:
        names = [name for name in header if name != "__metadata__"]
        header[rng.choice(names)] = change_json(rng, header[rng.choice(names)])
    elif what < 0.6:
        header["__metadata__"] = change_json(rng, header["__metadata__"])
    else:
        described = change_json(rng, json.loads(header["__metadata__"]["xpnet"]))
        if rehash and rng.random() < 0.7:
            described = rehash(described, content)
        header["__metadata__"]["xpnet"] = json.dumps(described)
    text = json.dumps(header).encode()
    if rng.random() < 0.1:
        text = rng.choice((b"[" * 10**5, b"{" * 10**5, text + b"\0", text.replace(b"{", b'{"W1": {}, ', 1)))
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


# NumPy


def npy(rng, content, canary="canary"):
    """Rewrite the header of an ``.npy`` file: another dtype, a huge shape, text that is none."""
    size = int.from_bytes(content[8:10], "little")
    body = content[10 + size :]
    shape = rng.choice(
        ("(20, 12)", "(240,)", "(0, 12)", "(2**3, 12)", "(-1, 12)", "(10**12, 12)", "(1000000000000, 12)",
         "(9223372036854775807, 12)", "(20, 12" + ", 1" * 40 + ")", "(1e3, 12)", "(True, 12)", "(20.0,)",
         "(0, 0, 99999999999999999999)", "(4294967296, 4294967296)", "(20, 4, 3, 1)", "(500000000, 12)",
         "()", "20")
    )  # fmt: skip
    descr = rng.choice(
        ("'<f8'", "'<f8'", "'>f4'", "'|O'", "'|u1'", "'|V0'", "'<U12'", "'|S0'", "'<M8[ns]'", "'<c16'",
         "[('a', '<f8')]", "[('a', '|O')]", "('<f8', (2**40,))", "'<f8,' * 99", "'f8, f8'", "'<f2'", "'<g'",
         "'<V2147483647'", "[('a', '<f4', (1000000, 1000000))]", "''", "'<f8' if 1 else 0", "[" * 300,
         "None", "'|b1'")
    )  # fmt: skip
    order = rng.choice(("True", "False", "False", "1", "None"))
    header = rng.choice(
        (
            *[f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"] * 12,
            *(
                "-" * 9000 + "1",
                "(" * 9000,
                "{}",
                "",
                "\0",
                "[" * 150 + "]" * 150,
                "__import__('os').getcwd()",
            ),
        )
    )
    text = header.encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    if "O" in descr:
        body = hostile(rng, canary)
    if rng.random() < 0.8:
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body
    version = rng.choice((2, 3, 4, 255))
    return (
        b"\x93NUMPY"
        + bytes([version, 0])
        + struct.pack("<I", rng.choice((len(text), *HUGE[:8])))
        + text
        + body
    )


def npz(rng, content, canary="canary"):
    """Damage an archive: a member, its name, or the central directory."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    what = rng.random()
    if what < 0.3:  # sizes, flags, methods and offsets, at both places where they stand
        damaged = bytearray(content)
        for _ in range(rng.choice((1, 2))):
            signature = rng.choice((b"PK\1\2", b"PK\3\4", b"PK\5\6"))
            places = [i for i in range(len(damaged)) if damaged.startswith(signature, i)]
            start = rng.choice(places or [0]) + rng.randrange(4, 46)
            number = struct.pack("<I", rng.choice(HUGE) % 2**32)[: rng.choice((1, 2, 4))]
            damaged[start : start + len(number)] = number
        return bytes(damaged)
    name = rng.choice(list(members))
    if what < 0.75:
        members[name] = npy(rng, members[name], canary)
    elif what < 0.8:
        members[name] = anything(rng, members[name])
    elif what < 0.85:
        members[rng.choice(("../../X.npy", "X_vla.npy", " ", "X", "\n.npy", "y_val.npy"))] = members[name]
    elif what < 0.9:
        del members[name]
    elif what < 0.95:
        members[name] = members[rng.choice(list(members))]
    else:
        members[name] = members[name][:128] + bytes(10**7)  # a thousand times what the file holds
    method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, member in members.items():
            archive.writestr(zipfile.ZipInfo(name), member, method)  # of 1980, not of now
    return file.getvalue()


# Pickles


class Calls:
    """Pickles as a call of a function that is not there when it is made."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def hostile(rng, canary):
    """A program as a pickle that makes the file ``canary``, if it is let."""
    command = f"touch {canary}"
    text = f"open({canary!r}, 'w').close()"
    return rng.choice(
        (
            f"cos\nsystem\n(S'{command}'\ntR.".encode(),
            f"cposix\nsystem\n(S'{command}'\ntR.".encode(),
            f"(S'{command}'\nios\nsystem\n.".encode(),
            f"(cos\nsystem\nS'{command}'\no.".encode(),
            f'cbuiltins\neval\n(S"{text}"\ntR.'.encode(),
            b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c"
            + bytes([len(command)])
            + command.encode()
            + b"\x85R.",
            b"\x80\x04\x8c\x0anumpy.core\x8c\x06system\x93\x8c"
            + bytes([len(command)])
            + command.encode()
            + b"\x85R.",
            *(pickle.dumps(Calls(eval, text), protocol) for protocol in (0, 2, 5)),
            *(pickle.dumps(Calls(exec, text), protocol) for protocol in (0, 2, 5)),
            *(pickle.dumps({"data": Calls(eval, text), "labels": [1]}, protocol) for protocol in (2, 4)),
        )
    )


BOMBS = (
    b"r\xff\xff\xff\x7f",  # LONG_BINPUT at the far end of the memo
    b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f",  # BINBYTES8 of 2⁶³
    b"\x96\x00\x00\x00\x00\x10\x00\x00\x00",  # BYTEARRAY8 of 64 GiB
    b"\x8b\xff\xff\xff\x7f",  # LONG4
    b"\x95\xff\xff\xff\xff\xff\xff\xff\xff",  # FRAME
    b"\x80\xff",  # PROTO 255
    b"\x82\x01",  # EXT1
    b"Q",  # BINPERSID
    b"P1\n",  # PERSID
    b"2" * 50,  # DUP
    b"(" * 10**5,  # MARK
    b"]" * 10**5,
    b"]q\x00" + b"]h\x00h\x00h\x00h\x00e" * 20,  # lists in lists
    b"I" + b"9" * 5000 + b"\n",
    b"F1e999\n",
    b"\x81",  # NEWOBJ
    b"\x92",  # NEWOBJ_EX
    b"b",  # BUILD
    b"R",  # REDUCE
    b"0" * 3,  # POP
)


def pickled(rng, content, canary="canary"):
    """Put opcodes into a pickle, take some out, or put a program in front of it."""
    places = [place for _, _, place in pickletools.genops(content)]
    start = rng.choice(places[1:])
    what = rng.random()
    if what < 0.3:
        program = hostile(rng, canary)
        return rng.choice(
            (program, content[:start] + program, content[:start] + program[:-1] + content[start:])
        )
    if what < 0.6:
        return content[:start] + rng.choice(BOMBS) + content[start:]
    end = rng.choice(places[1:])
    if what < 0.7:
        return content[: min(start, end)] + content[max(start, end) :]
    if what < 0.8:
        return content[:end] + content[start : start + 64] + content[end:]
    code = rng.choice(pickletools.opcodes).code.encode("latin-1")
    return content[:start] + code + content[start + 1 :]


# Archives


def archive(rng, content, inner, canary="canary"):
    """Damage a ``.tar.gz`` below its compression: a header, a member, or one more of a hostile type.

    ``inner`` damages the content of a member.
    """
    tar = bytearray(gzip.decompress(content))
    what = rng.random()
    if what < 0.4:
        with tarfile.open(fileobj=io.BytesIO(bytes(tar))) as opened:
            member = rng.choice([m for m in opened.getmembers() if m.size])
        field = rng.choice(
            ((0, 100), (100, 8), (124, 12), (148, 8), (156, 1), (157, 100), (257, 8), (345, 155))
        )
        start = member.offset + field[0]
        tar[start : start + field[1]] = rng.choice(
            (b"0" * field[1], b"7" * field[1], b"\x80" + b"\xff" * (field[1] - 1), rng.randbytes(field[1]))
        )
        if rng.random() < 0.7:
            tar_checksum(tar, member.offset)
    else:
        with tarfile.open(fileobj=io.BytesIO(bytes(tar))) as opened:
            members = {m.name: opened.extractfile(m).read() for m in opened.getmembers() if m.isreg()}
        name = rng.choice(list(members))
        more = tarfile.TarInfo(rng.choice((name, f"../../{canary}", canary, "x" * 300)))
        more.type = rng.choice(
            (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE, tarfile.REGTYPE)
        )
        more.linkname = rng.choice((name, "/dev/zero", "../../..", more.name))
        if what < 0.8:
            members[name] = inner(rng, members[name])
            more = None
        elif what < 0.85:
            members[name] = bytes(10**7)
        file = io.BytesIO()
        with tarfile.open(
            fileobj=file, mode="w", format=rng.choice((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
        ) as made:
            for name, member in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(member)
                made.addfile(info, io.BytesIO(member))
                if more is not None:
                    made.addfile(more)
        tar = file.getvalue()
    return gzip.compress(bytes(tar), 1, mtime=0)  # not of now


def tar_checksum(tar, start):
    """Make the checksum of a header right."""
    tar[start + 148 : start + 156] = b" " * 8
    tar[start + 148 : start + 156] = b"%06o\0 " % sum(tar[start : start + 512])


# Images


def png(rng, content):
    """Change a chunk of a PNG file and its checksum with it: a huge width, another depth, …"""
    chunks, place = [], 8
    while place < len(content):
        (size,) = struct.unpack(">I", content[place : place + 4])
        chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + size]))
        place += size + 12
    at = rng.choice((0, 0, rng.randrange(len(chunks))))
    kind, data = chunks[at]
    what = rng.random()
    if what < 0.5 and kind == b"IHDR":
        data = bytearray(data)
        number = struct.pack(">I", rng.choice((0, 3, 4, 5, 10**5, 2**31 - 1)))
        start = rng.choice((0, 4))
        data[start : start + 4] = number
        if rng.random() < 0.5:
            data[rng.randrange(8, 13)] = rng.choice((0, 1, 2, 3, 4, 6, 16, 255))
        chunks[at] = kind, bytes(data)
    elif what < 0.7:
        chunks[at] = kind, anything(rng, data or b"\0")
    elif what < 0.8:
        chunks[at] = (
            rng.choice((b"IDAT", b"PLTE", b"tRNS", b"iTXt", b"zTXt", b"acTL", b"IEND", b"eXIf")),
            data,
        )
    elif what < 0.9:
        text = b"k\0\0" + zlib.compress(bytes(10**7))
        chunks.insert(1, (b"zTXt", text))
    else:
        chunks.insert(rng.randrange(len(chunks)), chunks[at])
    return content[:8] + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def toml_of(settings):
    """Write plain settings as TOML."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items() if value is not None]
    text = "\n".join(lines) + "\n"
    assert tomllib.loads(text)
    return text.encode()
