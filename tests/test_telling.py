"""How what is no news is left out, and what is looks."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import spar_lightning
from spar_lightning.telling import hide_what_is_no_news

OWN = str(Path(spar_lightning.__file__).parent / "replay" / "datamodule.py")


def test_warnings_of_this_package_are_sentences_and_others_name_their_place() -> None:
    hide_what_is_no_news()
    hide_what_is_no_news()
    assert warnings.formatwarning("it is so", UserWarning, OWN, 7) == "warning: it is so\n"
    elsewhere = warnings.formatwarning("it is so", UserWarning, "/elsewhere.py", 7)
    assert "it is so" in elsewhere
    assert "/elsewhere.py:7" in elsewhere


def test_warnings_look_so_whether_lightning_comes_before_or_after() -> None:
    code = f"""if True:
        import warnings
        from spar_lightning.telling import hide_what_is_no_news

        hide_what_is_no_news()
        import lightning.pytorch  # whose format takes the place of ours, and falls back on it
        elsewhere = warnings.formatwarning("it is so", UserWarning, "/elsewhere.py", 7)
        hide_what_is_no_news()
        print(warnings.formatwarning("it is so", UserWarning, {OWN!r}, 7), end="")
        print(warnings.formatwarning("it is so", UserWarning, "/elsewhere.py", 7) == elsewhere)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines() == ["warning: it is so", "True"]
