"""Real documentation as web sites: Debian's packages, fetched by apt once and kept in .noren/.

They are under licences of their own (the FAQ and the installation guide: GPL 2 or later; GIMP's manual: GFDL): fetched
where they are needed, and no part of this project.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

HOME = Path(__file__).resolve().parents[2] / ".noren" / "documentation"
FOLDERS = {
    "faq-en": ("debian-faq", "usr/share/doc/debian/FAQ"),
    "faq-ja": ("debian-faq-ja", "usr/share/doc/debian/FAQ/ja"),
    "faq-ko": ("debian-faq-ko", "usr/share/doc/debian/FAQ/ko"),
    "aptitude-ja": ("aptitude-doc-ja", "usr/share/doc/aptitude/html/ja"),
    "install-en": ("installation-guide-amd64", "usr/share/doc/installation-guide-amd64/en"),
    "install-ja": ("installation-guide-amd64", "usr/share/doc/installation-guide-amd64/ja"),
    "install-ko": ("installation-guide-amd64", "usr/share/doc/installation-guide-amd64/ko"),
    "gimp-en": ("gimp-help-en", "usr/share/gimp/2.0/help/en"),
    "gimp-ja": ("gimp-help-ja", "usr/share/gimp/2.0/help/ja"),
    "gimp-ko": ("gimp-help-ko", "usr/share/gimp/2.0/help/ko"),
}
"""By name: Debian's package, and where its pages are."""
SECONDS = 60


class Unavailable(Exception):
    """This machine can't have the package: no apt, or no registry."""


def documentation(name: str) -> Path:
    """The folder of a documentation's pages, which are left as they are. Raises Unavailable."""
    package, inside = FOLDERS[name]
    kept = HOME / package
    if not kept.exists():
        _fetch(package, kept)
    return kept / inside


def pages_of(folder: Path) -> list[Path]:
    """Its pages. A copy under another name (`a.html` beside `a.en.html`) is none of its own."""
    every = sorted(each for each in folder.iterdir() if each.suffix == ".html" and each.is_file())
    names = {each.name for each in every}
    return [
        each for each in every if not (each.name.count(".") == 2 and f"{each.name.partition('.')[0]}.html" in names)
    ]


def start_of(folder: Path) -> str:
    """The name of its first page, or "" where a server finds it by itself."""
    return "" if (folder / "index.html").exists() else next(folder.glob("index.*.html")).name


def _fetch(package: str, kept: Path) -> None:
    apt, dpkg = shutil.which("apt-get"), shutil.which("dpkg-deb")
    if not apt or not dpkg:
        raise Unavailable("there is no apt here")
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:
        why = ""
        for what in (["download", package], ["update", "-qq"], ["download", package], ["download", package]):
            command = [apt, "-o", "Acquire::Retries=3", *what]
            try:
                done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, timeout=SECONDS)
                why = done.stderr.strip()[-300:]
            except subprocess.TimeoutExpired:
                why = f"{' '.join(command)} took longer than {SECONDS} s"
            if archive := next(Path(scratch).glob("*.deb"), None):
                break
        else:
            raise Unavailable(why)
        subprocess.run([dpkg, "-x", archive, Path(scratch) / "unpacked"], check=True, capture_output=True)
        (Path(scratch) / "unpacked").rename(kept)
