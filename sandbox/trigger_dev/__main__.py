"""Start a pretend Trigger.dev by hand: `python -m sandbox.trigger_dev --port 3030 --key tr_dev_...`."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

from sandbox.trigger_dev import PretendTriggerDev, Retry, TaskContext
from sandbox.trigger_dev.environments import example_key


async def _hello(payload: Any, context: TaskContext) -> dict[str, Any]:
    """The example task: greets; `{"failures": n}` in the payload makes the first n attempts fail."""
    named = payload if isinstance(payload, dict) else {}
    if context.attempt <= int(named.get("failures", 0)):
        raise RuntimeError(f"boom on attempt {context.attempt}")
    return {
        "greeting": f"hello {named.get('name', 'world')}",
        "attempt": context.attempt,
        "runId": context.run_id,
    }


async def _serve(host: str, port: int, keys: list[str]) -> None:
    pretend = PretendTriggerDev(secret_keys=keys)
    pretend.task("hello", _hello, retry=Retry(max_attempts=3))
    address = await pretend.start(host, port)
    print(f"TRIGGER_API_URL={address}")
    for key in keys:
        print(f"TRIGGER_SECRET_KEY={key}")
    print("task: hello", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        await pretend.stop()


def main() -> None:
    """Parse the command line and serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.trigger_dev", description="A pretend Trigger.dev.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=3030)
    parser.add_argument("--key", action="append", help="secret key of an environment; may be given several times")
    arguments = parser.parse_args()
    keys = arguments.key or [example_key("dev"), example_key("prod")]
    try:
        asyncio.run(_serve(arguments.host, arguments.port, keys))
    except KeyboardInterrupt:
        print("stopped")


if __name__ == "__main__":
    main()
