"""The pages: what people look at in a browser, on the control port below `/pages`.

Thin: a page parses what it was asked, reads reports, and renders a template. Actions call what the API calls.
"""

from __future__ import annotations
