"""Damage that can befall any text."""

import codecs
import random
import re

CHARACTERS = "0123456789.-+eE'\";#_?() \t\nxyzABC,/\\é\0"


def without_line(text: str, rng: random.Random, among: range) -> str:
    """One of some lines is lost."""
    lines = text.splitlines(keepends=True)
    del lines[rng.choice(among)]
    return "".join(lines)


def repeated_line(text: str, rng: random.Random, among: range) -> str:
    """One of some lines is there twice."""
    lines = text.splitlines(keepends=True)
    number = rng.choice(among)
    lines.insert(number, lines[number])
    return "".join(lines)


def garbled(text: str, rng: random.Random, among: range | None = None) -> str:
    """One to three characters are others, in some lines."""
    lines = text.splitlines(keepends=True)
    for _ in range(rng.randint(1, 3)):
        number = rng.choice(among or range(len(lines)))
        line = lines[number]
        place = rng.randrange(len(line))
        lines[number] = line[:place] + rng.choice(CHARACTERS) + line[place + 1 :]
    return "".join(lines)


def swapped_digits(text: str, rng: random.Random) -> str:
    """Digits beside each other have changed places."""
    for _ in range(rng.randint(1, 3)):
        places = [found.start() for found in re.finditer(r"(?=(\d)(?!\1)\d)", text)]
        if places:
            place = rng.choice(places)
            text = text[:place] + text[place + 1] + text[place] + text[place + 2 :]
    return text


def truncated(text: str, rng: random.Random) -> str:
    """The end is lost; every other time not much of it."""
    stop = rng.randrange(max(0, len(text) - 40) if rng.random() < 0.5 else 0, len(text))
    return text[:stop]


def encoded(text: str, rng: random.Random) -> bytes:
    """The same text as other systems write it."""
    lines = rng.choice(["\n", "\r\n", "\r"])
    # pathlib and editors of Windows put marks at the beginning.
    mark, encoding = rng.choice(
        [
            (codecs.BOM_UTF8, "utf-8"),
            (codecs.BOM_UTF16_LE, "utf-16-le"),
            (codecs.BOM_UTF16_BE, "utf-16-be"),
            (b"", "latin-1"),
            (b"", "utf-8"),
        ]
    )
    first, *others = text.split("\n")
    return mark + lines.join([f"{first} # é", *others]).encode(encoding)
