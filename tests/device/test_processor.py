"""What the processor can do, by what the system tells."""

import pytest

from xpnet.device import processor

TELLS = "processor : 0\nmodel name : any\nflags\t\t: fpu sse2 {}\nbugs : none\n"


@pytest.fixture
def tell(monkeypatch, tmp_path):
    """Return what has the system tell another thing."""
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")

    def tell(text):
        (tmp_path / "cpuinfo").write_text(text)

    processor.has_bf16.cache_clear()
    yield tell
    processor.has_bf16.cache_clear()


@pytest.mark.parametrize(
    ("flags", "expected"), [("avx512_bf16", True), ("amx_bf16 amx_tile", True), ("avx512f avx_vnni", False)]
)
def test_bf16(tell, flags, expected):
    tell(TELLS.format(flags))
    assert processor.has_bf16() is expected


def test_a_system_that_does_not_tell(tell):
    assert processor.has_bf16() is None
    processor.has_bf16.cache_clear()
    tell("processor : 0\nFeatures : fp asimd bf16\n")  # not x86
    assert processor.has_bf16() is None
