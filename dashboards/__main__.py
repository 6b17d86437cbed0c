"""`python -m dashboards`: write the generated files anew."""

from __future__ import annotations

from dashboards.generated import write

if __name__ == "__main__":
    for path in write():
        print(path)
