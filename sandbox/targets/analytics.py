"""Where conversions are reported: Meta's Conversions API and Google Analytics' Measurement Protocol."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from sandbox.targets.target import Answer, Target, born_id

META_API_VERSION = "v21.0"


class Meta(Target):
    """`POST /{version}/{pixel}/events?access_token=...`. An event without name, time or user data is refused."""

    name = "meta"
    parameter = "access_token"

    def routes(self) -> list[Route]:
        """The one path for events."""
        return [self.route("POST", f"/{META_API_VERSION}/{{pixel}}/events", self._events)]

    def _events(self, request: Request, body: Any) -> Answer:
        events = body.get("data") if isinstance(body, dict) else None
        if not isinstance(events, list) or not all(
            isinstance(event, dict) and event.keys() >= {"event_name", "event_time", "user_data"} for event in events
        ):
            message = "(#100) event_name, event_time and user_data are required"
            return Answer(400, {"error": {"message": message, "type": "OAuthException", "code": 100}})
        return Answer(200, {"events_received": len(events), "fbtrace_id": born_id("fb")})


class Ga4(Target):
    """`POST /mp/collect?measurement_id=...&api_secret=...`: 204 whatever it is, as the real one,
    except that a wrong secret is told."""

    name = "ga4"
    parameter = "api_secret"

    def routes(self) -> list[Route]:
        """The one path for events."""
        return [self.route("POST", "/mp/collect", self._collect)]

    def _collect(self, request: Request, body: Any) -> Answer:
        return Answer(204)
