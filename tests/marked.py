"""Values that tests use where people keep secrets, so that one that comes out is recognised.

`log_watch.py` looks for them in everything that the suite's services and commands say.
"""

from __future__ import annotations

SECRET_MARK = "c4nary"
"""In every password, token and key that a test makes up. It must come out nowhere."""
PERSONAL_MARK = "p3rsonal"
"""In what people typed about people. It must come into no log and no record; a command that was
asked for facts prints them."""

PASSWORD = f"hush-{SECRET_MARK}"
TOKEN = f"tok-{SECRET_MARK}-0123456789abcdef0123456789abcdef"
FREE_TEXT = f"wanted-by-a-court-{PERSONAL_MARK}"
BIRTH_DATE = "1984-05-02"
