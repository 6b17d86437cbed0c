"""process-creator-application as a Trigger.dev task: tell everybody that somebody applied."""

from __future__ import annotations

import time

from sandbox.commerce.database import Row
from sandbox.commerce.messages import APPLICATIONS_CHANNEL, application_note, application_received
from sandbox.commerce.outside import Outside, hashed
from sandbox.trigger_dev.tasks import TaskContext


async def run(outside: Outside, payload: Row, ctx: TaskContext) -> Row:
    """Payload: creatorId, tenantId. Returns success."""
    application = outside.database.find("applications", creator_id=payload["creatorId"])[0]
    tenant = outside.database.get("tenants", payload["tenantId"])

    await outside.send_email(application_received(application, tenant))
    await outside.post_to_slack(APPLICATIONS_CHANNEL, application_note(application, tenant))
    await outside.send_to_meta(
        tenant,
        {
            "event_name": "Lead",
            "event_time": int(time.time()),
            "event_id": f"lead-{application['creator_id']}",
            "action_source": "website",
            "user_data": {"em": [hashed(application["email"])]},
        },
    )
    return {"success": True}
