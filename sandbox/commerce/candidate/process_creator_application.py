"""process-creator-application as an Inngest function: the confirmation first, then the rest side by side."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import inngest

from sandbox.commerce.candidate.worker import Worker
from sandbox.commerce.database import Row
from sandbox.commerce.messages import APPLICATIONS_CHANNEL, application_note, application_received
from sandbox.commerce.outside import Outside, hashed

TASK = "process-creator-application"


def function(worker: Worker) -> inngest.Function[Any]:
    """Event data: creatorId, tenantId. Returns success."""

    @worker.client.create_function(fn_id=TASK, trigger=inngest.TriggerEvent(event="creator/applied"))
    async def process_creator_application(ctx: inngest.Context) -> Row:
        creator_id, tenant_id = str(ctx.event.data["creatorId"]), str(ctx.event.data["tenantId"])
        run = worker.run(ctx)

        async def load(outside: Outside) -> Row:
            return {
                "application": outside.database.find("applications", creator_id=creator_id)[0],
                "tenant": outside.database.get("tenants", tenant_id),
            }

        loaded = await run.step("load-application", load)
        application, tenant = loaded["application"], loaded["tenant"]

        async def confirm(outside: Outside) -> str:
            return await outside.send_email(application_received(application, tenant))

        async def tell_team(outside: Outside) -> None:
            await outside.post_to_slack(APPLICATIONS_CHANNEL, application_note(application, tenant))

        async def tell_meta(outside: Outside) -> None:
            pixel = worker.faults.at("application.pixel", tenant["pixel_id"])
            await outside.send_to_meta({**tenant, "pixel_id": pixel}, _lead(application))

        await run.step("email-applicant", confirm)
        tellers = {"meta": tell_meta, "slack": tell_team}
        told = worker.faults.at("application.told", tuple(tellers))
        await ctx.group.parallel(tuple(partial(run.step, f"tell-{name}", tellers[name]) for name in told))
        return {"success": True}

    return process_creator_application


def _lead(application: Row) -> Row:
    return {
        "event_name": "Lead",
        "event_time": int(time.time()),
        "event_id": f"lead-{application['creator_id']}",
        "action_source": "website",
        "user_data": {"em": [hashed(application["email"])]},
    }
