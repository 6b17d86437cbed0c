"""The commerce example: seven tasks of a multi-tenant shop platform, written for both platforms.

`legacy` holds them as Trigger.dev tasks, `candidate` as Inngest functions; `faults` are the mistakes that the
candidate can be told to make; `producers` send the load, `catalogue` describes it all to Shadow.
"""

from __future__ import annotations
